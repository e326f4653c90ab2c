"""Checks the rules between tables of config.toml."""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise

from gateway.components.destination import BatchPolicy
from gateway.config.decode import decode_table
from gateway.config.model import Config
from gateway.errors import ConfigError

__all__ = ["check_groups", "check_id", "check_references", "check_workers"]


_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def check_id(id_: str, path: str) -> None:
    """Refuses an id that is not a name.

    Raises:
        ConfigError: it is none.
    """
    if not _ID.fullmatch(id_):
        raise ConfigError(
            f"{path}: an id starts with a letter and has letters, digits, - and _, at most 64"
        )


def check_references(config: Config) -> None:
    """Refuses names of components that do not exist, write keys used twice, and wrong networks.

    Raises:
        ConfigError: there is one.
    """
    _check_transforms(config)
    _check_write_keys(config)
    for network in config.server.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(f"server.trusted_proxies: {error}") from error
    for id_, (settings, table) in config.destinations.items():
        decode_table(settings.batch, BatchPolicy, f"{table.path}.batch")
        if settings.shadowing is not None and settings.shadowing.of is not None:
            _check_shadow(config, f"{table.path}.shadow.of", id_, settings.shadowing.of)


def _check_transforms(config: Config) -> None:
    for id_, (transform, table) in config.transforms.items():
        for destination in transform.destinations or ():
            if destination not in config.destinations:
                raise ConfigError(
                    f"{table.path}.destinations: there is no destination {destination!r}"
                )
        if transform.destinations == ():
            raise ConfigError(
                f"{table.path}.destinations: is empty; leave it out to run {id_} at intake"
            )


def _check_write_keys(config: Config) -> None:
    owners: dict[str, str] = {}
    for id_, (source, table) in config.sources.items():
        number = len(source.all_keys) - len(source.keys)
        for place, entry in enumerate(source.all_keys, -number):
            where = f"{table.path}." + ("write_key" if place < 0 else f"keys[{place}].key")
            if not entry.key.strip():
                raise ConfigError(f"{where}: is empty")
            if entry.key != entry.key.strip():
                raise ConfigError(f"{where}: begins or ends with a space or a line feed")
            if owners.setdefault(entry.key, id_) != id_:
                raise ConfigError(f"{where}: is also the key of sources.{owners[entry.key]}")
        repeated = {key.key for key in source.keys} & set(source.write_keys[:number])
        if repeated or len({key.key for key in source.keys}) < len(source.keys):
            raise ConfigError(f"{table.path}.keys: the same key is there twice")


def _check_shadow(config: Config, path: str, shadow: str, of: str) -> None:
    if of not in config.destinations:
        raise ConfigError(f"{path}: there is no destination {of!r}")
    live, _ = config.destinations[of]
    if of == shadow or live.shadowing is not None:
        raise ConfigError(f"{path}: {of} is a shadow itself; name one that things are sent to")
    if not live.enabled:
        raise ConfigError(f"{path}: {of} is disabled")


def check_groups(config: Config) -> None:
    """Refuses groups with overlapping slots, and names of groups and layers that do not exist.

    Raises:
        ConfigError: there is one.
    """
    for id_ in config.groups:
        check_id(id_, f"groups.{id_}")
    _check_layers(config)
    users = [(table.path, one.only) for one, table in config.transforms.values()]
    users += [(table.path, one.only) for one, table in config.destinations.values()]
    for path, only in users:
        if only is not None and only.group not in config.groups:
            raise ConfigError(f"{path}.only.group: there is no group {only.group!r}")
    for id_, group in config.groups.items():
        for destination in group.measure:
            if destination not in config.destinations:
                raise ConfigError(f"groups.{id_}.measure: there is no destination {destination!r}")


def _check_layers(config: Config) -> None:
    slots: dict[str, list[tuple[float, float, str]]] = {}
    for id_, group in config.groups.items():
        if group.layer:
            if group.layer not in config.layers:
                raise ConfigError(f"groups.{id_}.layer: there is no layer {group.layer!r}")
            layer_salt = config.layers[group.layer].salt
            layer_salt = group.layer if layer_salt is None else layer_salt
            if layer_salt == (id_ if group.salt is None else group.salt):
                raise ConfigError(
                    f"groups.{id_}.salt: is also that of layer {group.layer!r}, so that the slot "
                    "would decide the arm; set another"
                )
            slots.setdefault(group.layer, []).append((*group.slot, id_))
    for layer, taken in slots.items():
        for (_, end, one), (begin, _, other) in pairwise(sorted(taken)):
            if begin < end:
                raise ConfigError(
                    f"groups.{other}.slot: overlaps that of groups.{one} in layer {layer!r}"
                )


def check_workers(config: Config) -> None:
    """Refuses settings whose promise several processes could not keep.

    Raises:
        ConfigError: there is one, and `server.workers` is above 1.
    """
    workers = config.server.workers
    if workers == 1:
        return
    for id_, group in config.groups.items():
        if group.ramp:
            raise ConfigError(
                f"groups.{id_}.ramp: the arms are compared user by user, and the {workers} workers "
                "each see only some of the events of a user; set server.workers = 1, or grow the "
                "group by hand with `percent`"
            )
    for settings, table in config.destinations.values():
        if settings.enabled and settings.ordering == "user":
            raise ConfigError(
                f'{table.path}.ordering: "user" needs all events of a user in one queue, and each '
                f"of the {workers} workers has its own; set server.workers = 1, or ordering = "
                '"none"'
            )
