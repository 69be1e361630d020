"""From codes and prompts to images and text."""
