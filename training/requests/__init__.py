"""Generated requests to an assistant, with their intents and details, for the task `assistant_intent`."""
