"""Shell completion: the scripts for bash, zsh and fish, and the words that they ask for.

The scripts hold no words. At each Tab they call `footlight completion words WORD ...`, so they
never go out of date; the answer takes as long as `footlight --help`. What `train` accepts depends
on the algorithm, whose file imports torch: `field_source.py` reads its fields without importing it.
"""

import importlib
import importlib.util
from argparse import Action
from collections.abc import Iterable, Iterator

from footlight.algorithms import ALGORITHMS
from footlight.cli.command_line import first_words, join_values
from footlight.cli.field_source import fields_in_source
from footlight.cli.parser import Parser, build_parser
from footlight.cli.train import add_other_options
from footlight.config.best import BEST, recommended

FILES = ":files"  # the answer that asks the shell to complete the name of a file or folder
_GAMES = "ALE/"  # the many ids of Atari games, which are offered once this has been typed
_OF_FILES = ("FILE", "DIR", "CHECKPOINT")  # in the metavars of what is a path

_BASH = r"""# In ~/.bashrc: eval "$(footlight completion bash)"
_footlight() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <("$1" completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ ${COMPREPLY[0]} == ":files" ]]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null || while IFS= read -r word; do  # bash 3.2 of macOS
            COMPREPLY+=("$word")
        done < <(compgen -f -- "$2")
    elif [[ ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _footlight footlight
"""
_ZSH = r"""#compdef footlight
# In ~/.zshrc, after compinit: eval "$(footlight completion zsh)"
_footlight() {
    local -a found
    found=("${(@f)$("${(Q)words[1]}" completion words "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $found[1] == ":files" ]]; then
        _files
    elif [[ -n $found[1] ]]; then
        compadd -S '' -- ${(M)found:#*/}
        compadd -- ${found:#*/}
    fi
}
if [[ $funcstack[1] == _footlight ]]; then
    _footlight "$@"
else
    compdef _footlight footlight
fi
"""
_FISH = r"""# In ~/.config/fish/config.fish: footlight completion fish | source
function __footlight_words
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($typed[1] completion words $typed[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path "$current"
    else
        printf '%s\n' $found
    end
end
complete -c footlight -f -a '(__footlight_words)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def words(arguments: list[str]) -> list[str]:
    """What the last of the arguments may become; `[FILES]` where it is the name of a file."""
    *before, current = arguments or [""]
    if before[:1] == ["train"]:
        return _matching(_for_train(before[1:], current), current)
    if not before:
        return _matching(_commands(), current)
    parser = _commands().get(before[0])
    return [] if parser is None else _matching(_for_parser(parser, before[1:], current), current)


def _matching(found: Iterable[str], current: str) -> list[str]:
    listed = [*found]
    matching = [word for word in listed if word.startswith(current) and word != FILES]
    return matching or [word for word in listed if word == FILES]


def _commands() -> dict[str, Parser]:
    """The parsers of the commands, in the order of the help page."""
    parser = build_parser()
    found = next(action.choices for action in parser._actions if action.dest == "command")
    assert isinstance(found, dict)
    return found


def _for_parser(parser: Parser, before: list[str], current: str) -> Iterator[str]:
    options = {name: action for action in parser._actions for name in action.option_strings}
    if before and before[-1] in options and options[before[-1]].nargs != 0:
        yield from _values(options[before[-1]])
    elif current.startswith("-"):
        yield from _shown(options)
    else:
        for action in parser._actions:
            if not action.option_strings:
                yield from _values(action)


def _shown(options: dict[str, Action]) -> Iterator[str]:
    """The options, without those that the help page hides and the short ones."""
    for name, action in options.items():
        if name.startswith("--") and action.help != "==SUPPRESS==":
            yield name


def _values(action: Action) -> Iterator[str]:
    if action.choices is not None:
        yield from map(str, action.choices)
    elif any(word in str(action.metavar) for word in _OF_FILES):
        yield FILES
    elif action.dest == "track":
        yield from ("tensorboard", "wandb", "none")


def _for_train(before: list[str], current: str) -> Iterator[str]:
    algorithm, environment = first_words(join_values(before), (*ALGORITHMS, BEST))
    parser = Parser(prog="footlight train")
    add_other_options(parser)
    fields = _fields(algorithm, environment)
    last = before[-1] if before else ""
    if last in fields and (current or fields[last] != ("true", "false")):
        yield from fields[last]
    elif current.startswith("-"):
        yield from (*fields, *_for_parser(parser, [], "-"))
    elif any(last in action.option_strings and action.nargs != 0 for action in parser._actions):
        yield from _presets(algorithm) if last == "--preset" else _for_parser(parser, [last], "")
    elif algorithm is None:
        yield from (*ALGORITHMS, BEST, FILES)
    elif environment is None:
        yield from (*_environments(current), FILES)


def _fields(algorithm: str | None, environment: str | None) -> dict[str, tuple[str, ...]]:
    """The options that are fields of a dataclass, each with its words if it has few."""
    found = fields_in_source("footlight.config.options", "Options")
    if algorithm == BEST and environment is not None:
        algorithm = recommended(environment)
    if algorithm in ALGORITHMS:
        module = f"footlight.algorithms.{str(algorithm).replace('-', '_')}"
        found |= fields_in_source(module, "Config")
    if (environment or "").startswith(_GAMES):
        found |= fields_in_source("footlight.environments.atari", "AtariConfig")
    options = {f"--{name.replace('_', '-')}": choices for name, choices in found.items()}
    return options | {"--buffer-dir": (FILES,)} if "--buffer-dir" in options else options


def _presets(algorithm: str | None) -> Iterator[str]:
    from footlight.config.presets import all_presets

    for name in all_presets():
        owner, _, environment = name.partition("/")
        if owner == algorithm:
            yield environment


def _environments(current: str) -> Iterator[str]:
    """The ids that Gymnasium knows; those of Atari games once the id begins with theirs."""
    import gymnasium

    if importlib.util.find_spec("ale_py") is not None:
        if current.startswith(_GAMES):
            gymnasium.register_envs(importlib.import_module("ale_py"))  # the import registers them
        else:
            yield _GAMES
    for name in sorted(gymnasium.registry):
        if name.startswith(_GAMES) == current.startswith(_GAMES):
            yield name


def print_words(arguments: list[str]) -> int:
    """Print the completions of the last argument, one per line; nothing where something fails."""
    try:
        found = words(arguments)
    except Exception:  # whatever the user has typed so far
        found = []
    print("\n".join(found))
    return 0
