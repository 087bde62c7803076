"""Reports: what happened in runs, on one self-contained page of HTML."""
