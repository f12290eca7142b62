"""Processes on many machines that keep to one limit and one budget together: the side of a member."""
