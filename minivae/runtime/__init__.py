"""What a run stands on: randomness, files, processes, interruption, memory."""
