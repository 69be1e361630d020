"""Plans: what a training step would need and give on devices that are not there. Nothing here needs an accelerator."""
