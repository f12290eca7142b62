"""`clairgen generate --on ray`: the shards of a run as actors of a Ray cluster, and merged where the command runs."""
