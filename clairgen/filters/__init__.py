"""Filters: what takes a pair out of exports or only marks it, each by a named reason and the measured value; all pure."""
