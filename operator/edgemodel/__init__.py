"""The vocabulary that operator, compressor and inference server share; it needs the standard library only."""
