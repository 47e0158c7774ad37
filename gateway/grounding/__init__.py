"""Evidence: where in a text the words stand that a value rests on."""
