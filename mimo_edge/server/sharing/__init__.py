"""One model for many callers: whose turn it is, how many voices it carries, what was counted."""
