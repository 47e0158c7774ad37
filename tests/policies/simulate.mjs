// Evaluates questions to policies by IAM's rules: JSON on standard input and output.
// In: {policies: {name: document}, questions: [{policy, action, resource, context}]}; out: [{result, error, ignored, statements}].
import { getGrantReasons, runSimulation } from '@cloud-copilot/iam-simulate'
import { readFileSync } from 'node:fs'

const ACCOUNT = '123456789012'
const CALLER = { 'aws:userid': 'AIDAEXAMPLE', 'aws:username': 'operator' }
const filledIn = (text) => text.replaceAll('${aws:userid}', CALLER['aws:userid'])

async function answer(policies, { policy, action, resource, context }) {
  const outcome = await runSimulation(
    {
      request: {
        principal: `arn:aws:iam::${ACCOUNT}:user/operator`,
        action,
        resource: { resource: filledIn(resource), accountId: ACCOUNT },
        contextVariables: { ...CALLER, ...JSON.parse(filledIn(JSON.stringify(context))) },
      },
      identityPolicies: [{ name: policy, policy: policies[policy] }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  )
  if (outcome.resultType === 'error') {
    return { result: 'error', error: JSON.stringify(outcome.errors), ignored: [], statements: [] }
  }
  const results = outcome.results ?? [outcome.result]
  return {
    result: outcome.overallResult,
    error: '',
    ignored: results.flatMap((each) => each.ignoredContextKeys ?? []),
    statements: results.flatMap((each) => getGrantReasons(each.analysis).map((grant) => grant.statementId)),
  }
}

const { policies, questions } = JSON.parse(readFileSync(0, 'utf8'))
const answers = []
for (const question of questions) answers.push(await answer(policies, question))
process.stdout.write(JSON.stringify(answers))
