#!/usr/bin/env python3
"""Asks a model that generates text with the package openai, and prints the answer as it comes.

./ask.py http://smollm2:8080/v1 "What is gravity?"
"""

import argparse

from openai import OpenAI


def main() -> None:
    """Prints the model's most probable answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the server, with /v1")
    parser.add_argument("question")
    parser.add_argument("--max-tokens", type=int, default=128, help="tokens of the answer at most (%(default)s)")
    parser.add_argument("--key", default="none is needed", help="key, where serving.apiKeySecretRef wants one")
    parser.add_argument("--whole", action="store_true", help="wait for the whole answer")
    options = parser.parse_args()

    client = OpenAI(base_url=options.url, api_key=options.key, timeout=300)
    model = client.models.list().data[0].id
    messages = [{"role": "user", "content": options.question}]
    settings = {"model": model, "messages": messages, "temperature": 0, "max_tokens": options.max_tokens}
    if options.whole:
        print(client.chat.completions.create(**settings).choices[0].message.content)
        return
    for chunk in client.chat.completions.create(**settings, stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
