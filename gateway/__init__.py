"""Headgate, the event gateway: the public names for authors of plugins.

``docs/guide/plugins.md`` lists them by purpose. A name is imported from its module on first use.
So ``gateway --version``, which needs none of them, takes 40 ms; all of them take 300 ms.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def _lazy_names(
    package: str, names: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__all__`, `__getattr__` and `__dir__` of a package that imports names on first use.

    Args:
        names: the names by module, separated by spaces. None is also a module of the package.
    """
    module_of = {name: module for module, listed in names.items() for name in listed.split()}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return sorted(module_of), get, list_names


if TYPE_CHECKING:  # for type checkers and editors; ``X as X`` makes a name public
    from gateway.cli.console import Console as Console
    from gateway.cli.kit import AdminClient as AdminClient
    from gateway.cli.kit import find_figures as find_figures
    from gateway.cli.kit import find_gateway as find_gateway
    from gateway.cli.kit import load_scope as load_scope
    from gateway.cli.kit import make_table as make_table
    from gateway.cli.kit import record_audit as record_audit
    from gateway.cli.kit import require_gateway as require_gateway
    from gateway.cli.options import CONFIG_OPTION as CONFIG_OPTION
    from gateway.cli.options import Moment as Moment
    from gateway.cli.options import explained_errors as explained_errors
    from gateway.cli.output import print_json as print_json
    from gateway.cli.output import say as say
    from gateway.components.admin_area import AdminArea as AdminArea
    from gateway.components.admin_area import AdminEndpoint as AdminEndpoint
    from gateway.components.admin_area import AdminError as AdminError
    from gateway.components.admin_area import AdminRequest as AdminRequest
    from gateway.components.command import CommandSpec as CommandSpec
    from gateway.components.component import API_VERSION as API_VERSION
    from gateway.components.context import Context as Context
    from gateway.components.destination import Batch as Batch
    from gateway.components.destination import BatchPolicy as BatchPolicy
    from gateway.components.destination import Destination as Destination
    from gateway.components.destination import DestinationSpec as DestinationSpec
    from gateway.components.destination import Erasure as Erasure
    from gateway.components.dry_run import Rehearsal as Rehearsal
    from gateway.components.dry_run import Request as Request
    from gateway.components.dry_run_destination import DryRunDestination as DryRunDestination
    from gateway.components.figure import FigureSpec as FigureSpec
    from gateway.components.hookmarkers import hookimpl as hookimpl
    from gateway.components.identity import IdentitySpec as IdentitySpec
    from gateway.components.identity import KnownPeople as KnownPeople
    from gateway.components.identity import KnownPerson as KnownPerson
    from gateway.components.job import JobSpec as JobSpec
    from gateway.components.ports import Intake as Intake
    from gateway.components.project import ProjectConfig as ProjectConfig
    from gateway.components.schedule import Schedule as Schedule
    from gateway.components.scope import Scope as Scope
    from gateway.components.settings import Secret as Secret
    from gateway.components.source import Route as Route
    from gateway.components.source import Source as Source
    from gateway.components.source import SourceSpec as SourceSpec
    from gateway.components.store import QueueSpec as QueueSpec
    from gateway.components.tables import FigureTable as FigureTable
    from gateway.components.tables import TableSpec as TableSpec
    from gateway.components.token import NamedToken as NamedToken
    from gateway.components.transform import Transform as Transform
    from gateway.components.transform import TransformSpec as TransformSpec
    from gateway.components.transform_methods import ChangesClient as ChangesClient
    from gateway.components.transform_methods import ChangesContext as ChangesContext
    from gateway.components.transform_methods import ChangesIds as ChangesIds
    from gateway.components.transform_methods import KeepsByIds as KeepsByIds
    from gateway.components.transform_methods import PassesText as PassesText
    from gateway.components.transform_methods import PerDestination as PerDestination
    from gateway.components.transform_methods import ProducesEvents as ProducesEvents
    from gateway.components.transform_methods import ReceivesEvents as ReceivesEvents
    from gateway.components.transform_methods import Samples as Samples
    from gateway.components.transform_methods import SuspectsRequest as SuspectsRequest
    from gateway.components.transform_methods import SuspectsText as SuspectsText
    from gateway.components.transform_methods import WorksApart as WorksApart
    from gateway.errors import BatchError as BatchError
    from gateway.errors import ConfigError as ConfigError
    from gateway.errors import DeliveryError as DeliveryError
    from gateway.errors import GatewayError as GatewayError
    from gateway.errors import Misconfigured as Misconfigured
    from gateway.errors import Permanent as Permanent
    from gateway.errors import QueueError as QueueError
    from gateway.errors import QueueFull as QueueFull
    from gateway.errors import Retryable as Retryable
    from gateway.errors import Throttled as Throttled
    from gateway.events.conditions.condition import Condition as Condition
    from gateway.events.conditions.condition import ConditionError as ConditionError
    from gateway.events.conditions.condition import compile_condition as compile_condition
    from gateway.events.conditions.condition import condition_tree as condition_tree
    from gateway.events.conditions.condition import parse_condition as parse_condition
    from gateway.events.conditions.path import PathError as PathError
    from gateway.events.conditions.path import format_path as format_path
    from gateway.events.conditions.path import parse_path as parse_path
    from gateway.events.conditions.path import path_reader as path_reader
    from gateway.events.conditions.unit import visitor_of as visitor_of
    from gateway.events.device import ContextFields as ContextFields
    from gateway.events.device import context_values as context_values
    from gateway.events.device import mobile_platform as mobile_platform
    from gateway.events.envelope.arrival import Arrival as Arrival
    from gateway.events.envelope.arrival import Receipt as Receipt
    from gateway.events.envelope.client import Client as Client
    from gateway.events.event import EVENT_TYPES as EVENT_TYPES
    from gateway.events.event import Event as Event
    from gateway.events.integrations import integration_options as integration_options
    from gateway.events.naming import name_from_template as name_from_template
    from gateway.events.naming import utm_parameters as utm_parameters
    from gateway.events.ndjson import NDJSON_MEDIA_TYPE as NDJSON_MEDIA_TYPE
    from gateway.events.ndjson import encode_ndjson as encode_ndjson
    from gateway.events.person import flat_address as flat_address
    from gateway.events.person import real_id as real_id
    from gateway.events.subjects import Subjects as Subjects
    from gateway.events.timestamps import format_ms as format_ms
    from gateway.events.timestamps import now_ms as now_ms
    from gateway.events.timestamps import parse_ms as parse_ms
    from gateway.events.values import as_mapping as as_mapping
    from gateway.events.values import as_number as as_number
    from gateway.events.values import as_text as as_text
    from gateway.http.basic_auth import basic_authorization as basic_authorization
    from gateway.http.body import BodyError as BodyError
    from gateway.http.body import BodyTooLarge as BodyTooLarge
    from gateway.http.body import read_body as read_body
    from gateway.http.client import HttpClient as HttpClient
    from gateway.http.excerpt import EXCERPT_CHARACTERS as EXCERPT_CHARACTERS
    from gateway.http.excerpt import Mask as Mask
    from gateway.http.excerpt import secrets_of_url as secrets_of_url
    from gateway.http.gzip_body import gzip_body as gzip_body
    from gateway.http.items import Entry as Entry
    from gateway.http.items import Item as Item
    from gateway.http.items import RequestLimits as RequestLimits
    from gateway.http.items import Split as Split
    from gateway.http.items import items_of as items_of
    from gateway.http.packing import Packer as Packer
    from gateway.http.reply import Reply as Reply
    from gateway.http.reply import status_error as status_error
    from gateway.http.retry_after import parse_retry_after as parse_retry_after
    from gateway.http.settings import HttpSettings as HttpSettings
    from gateway.http.settings import VendorSettings as VendorSettings
    from gateway.http.token_bucket import TokenBucket as TokenBucket
    from gateway.rollouts.sequential import half_width as half_width
    from gateway.rollouts.sequential import log_evidence as log_evidence
    from gateway.runtime.offline_intake import OfflineIntake as OfflineIntake
    from gateway.state.files import open_database as open_database

else:  # at run time
    _NAMES = {
        "gateway.cli.console": "Console",
        "gateway.cli.kit": (
            "AdminClient find_figures find_gateway load_scope make_table record_audit "
            "require_gateway"
        ),
        "gateway.cli.options": "CONFIG_OPTION Moment explained_errors",
        "gateway.cli.output": "print_json say",
        "gateway.components.admin_area": "AdminArea AdminEndpoint AdminError AdminRequest",
        "gateway.components.command": "CommandSpec",
        "gateway.components.component": "API_VERSION",
        "gateway.components.context": "Context",
        "gateway.components.destination": "Batch BatchPolicy Destination DestinationSpec Erasure",
        "gateway.components.dry_run": "Rehearsal Request",
        "gateway.components.dry_run_destination": "DryRunDestination",
        "gateway.components.figure": "FigureSpec",
        "gateway.components.hookmarkers": "hookimpl",
        "gateway.components.identity": "IdentitySpec KnownPeople KnownPerson",
        "gateway.components.job": "JobSpec",
        "gateway.components.ports": "Intake",
        "gateway.components.project": "ProjectConfig",
        "gateway.components.schedule": "Schedule",
        "gateway.components.scope": "Scope",
        "gateway.components.settings": "Secret",
        "gateway.components.source": "Route Source SourceSpec",
        "gateway.components.store": "QueueSpec",
        "gateway.components.tables": "FigureTable TableSpec",
        "gateway.components.token": "NamedToken",
        "gateway.components.transform": "Transform TransformSpec",
        "gateway.components.transform_methods": (
            "ChangesClient ChangesContext ChangesIds KeepsByIds PassesText PerDestination "
            "ProducesEvents ReceivesEvents Samples SuspectsRequest SuspectsText WorksApart"
        ),
        "gateway.errors": (
            "BatchError ConfigError DeliveryError GatewayError Misconfigured Permanent "
            "QueueError QueueFull Retryable Throttled"
        ),
        "gateway.events.conditions.condition": (
            "Condition ConditionError compile_condition condition_tree parse_condition"
        ),
        "gateway.events.conditions.path": "PathError format_path parse_path path_reader",
        "gateway.events.conditions.unit": "visitor_of",
        "gateway.events.device": "ContextFields context_values mobile_platform",
        "gateway.events.envelope.arrival": "Arrival Receipt",
        "gateway.events.envelope.client": "Client",
        "gateway.events.event": "EVENT_TYPES Event",
        "gateway.events.integrations": "integration_options",
        "gateway.events.naming": "name_from_template utm_parameters",
        "gateway.events.ndjson": "NDJSON_MEDIA_TYPE encode_ndjson",
        "gateway.events.person": "flat_address real_id",
        "gateway.events.subjects": "Subjects",
        "gateway.events.timestamps": "format_ms now_ms parse_ms",
        "gateway.events.values": "as_mapping as_number as_text",
        "gateway.http.basic_auth": "basic_authorization",
        "gateway.http.body": "BodyError BodyTooLarge read_body",
        "gateway.http.client": "HttpClient",
        "gateway.http.excerpt": "EXCERPT_CHARACTERS Mask secrets_of_url",
        "gateway.http.gzip_body": "gzip_body",
        "gateway.http.items": "Entry Item RequestLimits Split items_of",
        "gateway.http.packing": "Packer",
        "gateway.http.reply": "Reply status_error",
        "gateway.http.retry_after": "parse_retry_after",
        "gateway.http.settings": "HttpSettings VendorSettings",
        "gateway.http.token_bucket": "TokenBucket",
        "gateway.rollouts.sequential": "half_width log_evidence",
        "gateway.runtime.offline_intake": "OfflineIntake",
        "gateway.state.files": "open_database",
    }

    __all__, __getattr__, __dir__ = _lazy_names(__name__, _NAMES)
    __all__ = sorted([*__all__, "__version__"])
