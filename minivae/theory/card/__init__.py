"""The report card: every statement, checked afresh on one model and its users."""
