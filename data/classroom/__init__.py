"""The classroom: questions that can be checked, and two language models small enough to ship."""
