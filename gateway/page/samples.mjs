// Synthetic notes, written for this project. Nobody of them exists.

const VISIT = (number, text) => `Page ${number} of 3\n\n${text}`;

/** For each task its samples: a name, and the note. */
export const SAMPLES = {
  medical_ie: [
    [
      "Lung cancer, all seven fields",
      "61-year-old man with stage IV lung adenocarcinoma. Molecular testing identified EGFR L858R mutation; PD-L1 was " +
        "10%. He was started on osimertinib. MRI showed brain metastases. Restaging CT after 8 weeks showed a partial " +
        "response.",
    ],
    [
      "No cancer",
      "34-year-old teacher with a sprained left ankle after a fall on the stairs. No fracture on the radiograph. Rest, " +
        "ice and an elastic bandage were advised, and ibuprofen as needed. Review in two weeks.",
    ],
    [
      "A value that the note denies",
      "58-year-old woman with stage II breast cancer. HER2 negative on immunohistochemistry. Staging CT shows no liver " +
        "metastases and no bone metastases. She completed four cycles of docetaxel and cyclophosphamide.",
    ],
    [
      "Three pages",
      [
        VISIT(
          1,
          "Referral letter. 67-year-old retired baker, seen for weight loss and anemia. Colonoscopy found a mass of the " +
            "sigmoid colon; the biopsy shows colorectal adenocarcinoma.\n\nHistory: hypertension, well controlled. " +
            "Appendectomy in youth. Never smoked. Lives with his wife; walks two miles a day.",
        ),
        VISIT(
          2,
          "Tumor board. CT of chest and abdomen: several liver metastases, the largest of 3 cm. The disease is stage IV. " +
            "NGS showed KRAS G12D; the tumor is MSI-H. The board recommends systemic treatment.",
        ),
        VISIT(
          3,
          "Course. He received FOLFOX and bevacizumab, with mild neuropathy of the fingertips. Imaging after 3 months " +
            "showed stable disease. Next visit in six weeks; he will call earlier with fever.",
        ),
      ].join("\n\n"),
    ],
    [
      "Signs of all kinds: emoji, accents, right-to-left",
      "👩🏽‍⚕️ Seen by Dr. Zoe\u0308 Mu\u0308ller — «naïve» re-read 🧬.\nשם המטופלת: דנה. Diagnosis: stage IV lung adenocarcinoma 🫁, " +
        "EGFR L858R.\nالعلاج: osimertinib since May; MRI: brain metastases. Now a partial response 🎉.",
    ],
  ],
  assistant_intent: [
    ["A task to add", "Put watering the tomatoes on my list for Saturday morning."],
    ["A reminder", "hey can you remind me to call the plumber at half past four"],
    ["An appointment", "Add lunch with Amara at the harbour to my calendar for Tuesday at noon."],
    ["A mail", "Email Jonas about the keys and say that they are under the mat."],
    ["The weather", "What will the weather be like in Tromsø on Sunday? ☀️"],
    ["None of these", "Why do cats purr?"],
  ],
};
