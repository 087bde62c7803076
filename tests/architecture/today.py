"""What breaks a rule today, by rule. These lists only shrink: an entry that holds fails a test."""

TODAY: dict[str, set[str]] = {}
