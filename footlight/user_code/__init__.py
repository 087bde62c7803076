"""Files of the user's own that are named as FILE.py:NAME: consent, and loading."""
