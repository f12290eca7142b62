"""Requests that go to a provider together: the second way to an answer that is not stored. `lane` is the door."""
