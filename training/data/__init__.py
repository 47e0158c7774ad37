"""The data set: its notes, what is wrong with them, and the conversation that a note becomes."""
