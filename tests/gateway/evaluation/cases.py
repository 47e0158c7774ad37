"""A data set of four notes with two fields, small enough to count by hand.

    line  expected                            given                               by the rule exact
    1     site brain, bone   stage IV         site "Bone and brain"  stage IV     site wrong, stage right
    2     site liver         stage null       site liver             stage III    site right, stage invented
    3     site null          stage II         no answer (not JSON)                stage missed
    4     site null          stage null       site null              stage null   nothing, and right

exact       site   right 1 (2), false positive 1 (1), false negative 1 (1)    F1 2 / (2 + 1 + 1) = 1/2
            stage  right 1 (1), false positive 1 (2), false negative 1 (3)    F1 1/2
            micro  2, 2, 2                                                    P, R and F1 1/2
normalised  as exact, since the order of items counts
items       site   right 3 (bone, brain; liver), 0, 0                         F1 1
            stage  1, 1, 1                                                    F1 1/2
            micro  4, 1, 1                                  P 4/5, R 4/5, F1 8 / (8 + 1 + 1) = 4/5; macro F1 3/4
null        site   expected 2 (3, 4), given 1 (4), both 1      precision 1/1, recall 1/2
            stage  expected 2 (2, 4), given 1 (4), both 1      precision 1/1, recall 1/2
invention   given: site "Bone and brain" and liver, stage IV and III; only III is not in its note: 1 of 4
            expected: site 2, stage IV and II; II of line 3 is not in its note: 1 of 4
notes       right in every field: exact 1 (4), items 2 (1, 4); valid 3 of 4; nothing expected 1 (4), nothing given 1
"""

from gateway.evaluation.answers import Answer
from gateway.evaluation.dataset import Dataset, Example

FIELDS = ("site", "stage")
JSON_SCHEMA = {
    "type": "object",
    "properties": {
        "site": {"type": ["string", "null"], "minLength": 1, "maxLength": 40},
        "stage": {"type": ["string", "null"], "minLength": 1, "maxLength": 10},
    },
    "required": ["site", "stage"],
    "additionalProperties": False,
}

DATASET = Dataset(
    "by-hand.jsonl",
    (
        Example(1, "Stage IV, metastases in brain and bone.", {"site": "brain, bone", "stage": "IV"}),
        Example(2, "A lesion of the liver.", {"site": "liver", "stage": None}),
        Example(3, "Early disease.", {"site": None, "stage": "II"}),
        Example(4, "Healthy.", {"site": None, "stage": None}),
    ),
)
ANSWERS = (
    Answer({"site": "Bone and brain", "stage": "IV"}, confidence={"site": 0.75, "stage": 1.0}, seconds=1.0),
    Answer({"site": "liver", "stage": "III"}, confidence={"site": 0.95, "stage": 0.55}, seconds=2.0, repairs=("x",)),
    Answer(error="not_json", seconds=4.0),
    Answer({"site": None, "stage": None}, confidence={"site": 0.9}, seconds=3.0, model="medical-ie"),
)
