"""The coordinator of processes on many machines: who may send how much, what each may cost, who has which shard."""
