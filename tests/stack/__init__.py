"""A real Airflow, a local S3 and a local DashScope on loopback, for the demo and the system tests."""

from __future__ import annotations

from tests.errors import StackError
from tests.stack import guard
from tests.stack.airflow import Airflow, AirflowConfig
from tests.stack.airflow_api import AirflowApi, DagRun, ImportFailure, TaskInstance
from tests.stack.dashscope import Simulator
from tests.stack.database import Database, SqliteDatabase
from tests.stack.installation import Installation
from tests.stack.local import ROOT, LocalStack, StackConfig
from tests.stack.postgres import PostgresDatabase
from tests.stack.process import ManagedProcess, stop_all
from tests.stack.redis_server import RedisServer
from tests.stack.s3 import LocalS3, StoredObject
from tests.stack.statsd import StatsdListener
from tests.stack.waiting import FAILED_LOOKS, wait_until

__all__ = [
    "FAILED_LOOKS",
    "ROOT",
    "Airflow",
    "AirflowApi",
    "AirflowConfig",
    "DagRun",
    "Database",
    "ImportFailure",
    "Installation",
    "LocalS3",
    "LocalStack",
    "ManagedProcess",
    "PostgresDatabase",
    "RedisServer",
    "Simulator",
    "SqliteDatabase",
    "StackConfig",
    "StackError",
    "StatsdListener",
    "StoredObject",
    "TaskInstance",
    "guard",
    "stop_all",
    "wait_until",
]
