"""The words that operator, compressor and inference server share. Standard library only."""
