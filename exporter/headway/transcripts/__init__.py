"""Tokens of coding agents whose hooks do not tell them: counted from the transcripts that their hooks name, never the words."""
