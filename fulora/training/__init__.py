"""What training loops share: devices, seeded draws, learning rates, checkpoints, logs, averages, processes."""
