"""`under10k completion`: a few lines for each shell, which ask under10k itself what may stand at the cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from under10k.cli.names import Completer
from under10k.cli.parsing import Verb, is_flag, list_arguments, shown, takes_many

if TYPE_CHECKING:
    from cyclopts.argument import Argument


ASK = "__complete"
"""The verb by which a shell asks; its words are those up to the cursor, the last perhaps empty or half written."""


SCRIPTS = {
    "bash": f"""\
_under10k() {{
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$(printf %q "$word")")
    done < <("${{COMP_WORDS[0]}}" {ASK} "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null)
}}
complete -o bashdefault -o default -F _under10k under10k
""",
    "zsh": f"""\
#compdef under10k
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
_under10k() {{
    local -a found
    found=("${{(@f)$("${{words[1]}}" {ASK} "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
    if [[ -n "$found" ]]; then
        compadd -a found
    else
        compset -P '--*='
        _files
    fi
}}
compdef _under10k under10k
""",
    "fish": f"""\
function __under10k_complete
    set -l given (commandline -opc)
    set -l found ($given[1] {ASK} $given[2..] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct | string replace -r -- '^--[^=]*=' '')
    end
end
complete -c under10k -f -a '(__under10k_complete)'
""",
}
"""Where under10k has no answer, each shell offers files, as it does for other programs."""


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], shown("bash|zsh|fish")], /) -> None:
    """Print the completion script for a shell.

    To enable it in every new shell, add the line to the file:

        ~/.bashrc                   source <(under10k completion bash)
        ~/.zshrc                    source <(under10k completion zsh)
        ~/.config/fish/config.fish  under10k completion fish | source

    Args:
        shell: The shell that you use.
    """
    print(SCRIPTS[shell], end="")


def complete(verbs: Mapping[str, Verb], words: Sequence[str]) -> list[str]:
    """Return what may stand at the cursor, which is at the end of the last word; nothing leaves it to the shell."""
    *before, current = _join_equals(words) or [""]
    start, offered = _offer(verbs, before, current)
    if words[-1:] == ["="] or (len(words) > 1 and words[-2] == "="):
        current, start = current.partition("=")[2], ""  # bash completes what is behind the sign by itself
    return [start + word for word in offered if (start + word).startswith(current)]


def _join_equals(words: Sequence[str]) -> list[str]:
    """Put together what bash takes apart: `--data`, `=`, `mn`."""
    joined: list[str] = []
    glue = False
    for word in words:
        if joined and (glue or (word == "=" and joined[-1].startswith("--"))):
            joined[-1] += word
            glue = word == "=" and not glue
        else:
            joined.append(word)
    return joined


def _offer(verbs: Mapping[str, Verb], before: Sequence[str], current: str) -> tuple[str, Sequence[str]]:
    """Return what stands before the word to complete, and all that may be that word."""
    if not before:
        return "", ["--help", "--version"] if current.startswith("-") else [*verbs, "help"]
    verb, *given = before
    if verb == "help" and not given:
        return "", list(verbs)
    if verb not in verbs:
        return "", []
    arguments = list_arguments(verbs[verb], verb)
    options = {name: argument for argument in arguments for name in argument.names if name.startswith("-")}
    placed = [argument for argument in arguments if argument.index is not None]
    option, equals, _ = current.partition("=")
    if "--" not in given:
        if equals and option in options:
            return f"{option}=", _values(options[option])
        if given and given[-1] in options and not is_flag(options[given[-1]]):
            return "", _values(options[given[-1]])
        if current.startswith("-"):
            return "", sorted([*options, "--help"])
    taken = sum(
        not word.startswith("-") and not (before_it in options and not is_flag(options[before_it]))
        for before_it, word in zip(["", *given], given, strict=False)
    )
    argument = placed[min(taken, len(placed) - 1)] if placed else None
    if argument is None or (taken >= len(placed) and not takes_many(argument)):
        return "", []
    return "", _values(argument)


def _values(argument: Argument) -> list[str]:
    completer: Completer | None = argument.parameter.completer
    return [*(argument.get_choices(force=True) or ()), *(completer(None) if completer else ())]
