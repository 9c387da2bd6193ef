"""Whether a teacher can read the words that an attacker puts around prompts. Knows no attack."""

from __future__ import annotations

from attacks.client import Client
from configs.errors import ConfigError


def require_known(client: Client, words: str, field: str) -> None:
    """Refuse words that the teacher's tokenizer does not keep: it would be asked something else. That of the mini world has
    a closed list of words, and no instructions among them.

    Raises:
        ConfigError: they do not come out of it as they went in; names ``field``.
    """
    (read,) = client.codec.decode(client.codec.encode([words]))
    if read.split() != words.split():
        reason = (
            "is not what the teacher reads: its tokenizer has no such words (the mini world has a closed list of them)"
        )
        raise ConfigError(field, words, reason)
