"""Names and references as clusters accept them, checked before anything is sent anywhere."""

import re

from ugf_jax.errors import InputError

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # RFC 1123
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The grammar of Docker's reference: [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]
IMAGE = re.compile(
    r"([A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?(:[0-9]+)?/)?"
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
HOST = re.compile(r"([A-Za-z0-9_][-A-Za-z0-9_.]*@)?[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?")
LABEL_KEY = re.compile(r"([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
PLAIN = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.,:@=+/]*")  # what needs no quoting and is no flag
# Variables whose name says that their value is nobody's business.
SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|(^|_)KEY(_|$)|APIKEY", re.IGNORECASE)


def label(value: str, flag: str, most: int = 63, first_letter: bool = False) -> str:
    """A name by RFC 1123: lower-case letters, digits and `-`, at most `most` characters.

    Raises:
      InputError: it is none; names the flag.
    """
    letters = " that begin with a letter," if first_letter else ","
    if not LABEL.fullmatch(value) or len(value) > most or (first_letter and not value[0].isalpha()):
        raise InputError(
            f"--{flag} is '{value}'; want a name of lower-case letters, digits and '-'{letters} at most {most} characters"
        )
    return value


def dns_name(value: str, flag: str) -> str:
    """A name by RFC 1123 that may have dots, at most 253 characters."""
    if len(value) > 253 or not all(LABEL.fullmatch(part) for part in value.split(".")):
        raise InputError(f"--{flag} is '{value}'; want a name of lower-case letters, digits, '-' and '.'")
    return value


def variable(name: str, flag: str) -> str:
    """The name of an environment variable."""
    return _matching(VARIABLE, name, flag, "the name of an environment variable such as HF_TOKEN")


def image(reference: str, flag: str = "image") -> str:
    """The reference of a container image."""
    return _matching(IMAGE, reference, flag, "a container image such as europe-docker.pkg.dev/PROJECT/ugf/ugf:TAG")


def host(value: str, flag: str) -> str:
    """A host, with or without `user@`; never something that ssh would take for an option."""
    return _matching(HOST, value, flag, "a host such as user@10.0.0.1 or node-7")


def plain(value: str, flag: str, what: str) -> str:
    """A word without spaces, quotes and other characters that mean something to a shell."""
    return _matching(PLAIN, value, flag, what)


def node_label(text: str, flag: str) -> tuple[str, str]:
    """`key=value`, a label of Kubernetes."""
    key, equals, value = text.partition("=")
    if not equals or not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
        raise InputError(f"--{flag} is '{text}'; want KEY=VALUE, for example cloud.google.com/reservation-name=ours")
    return key, value


def assignment(text: str, flag: str, reference: str) -> tuple[str, str]:
    """`NAME=value` of an environment variable that is no secret.

    Args:
      text: what the flag says.
      flag: its name.
      reference: how secrets are given to this launcher instead.

    Raises:
      InputError: it has another form, or its name is that of a secret: values end up in manifests and histories.
    """
    name, equals, value = text.partition("=")
    if not equals or not value.isprintable():
        raise InputError(f"--{flag} is '{name}…'; want NAME=VALUE on one line")
    if SECRET.search(variable(name, flag)):
        raise InputError(f"--{flag}={name}=…: looks like a secret, which is given by reference only: {reference}")
    return name, value


def from_text(text: str) -> str:
    """A name by RFC 1123 made of any text: `ugf_1b` becomes `ugf-1b`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")


def _matching(pattern: re.Pattern[str], value: str, flag: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise InputError(f"--{flag} is '{value}'; want {what}")
    return value
