"""The generation of text: tokens, chat templates, caches, and the loop that lets sequences take turns."""
