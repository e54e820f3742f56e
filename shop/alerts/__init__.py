"""Alarms over figures: what is measured every minute, when it is too much, and who is told."""
