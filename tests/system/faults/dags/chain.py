"""Submit, wait, copy: three tasks, as the guide recommends. A DAG for each kind of submitting and waiting."""

from __future__ import annotations

from shapes import chain

chain("chain", submit={}, wait={})
chain("chain_resubmit", submit={"on_unconfirmed_submit": "resubmit"}, wait={})
chain("chain_two_copies", copies=2, submit={}, wait={})
chain("chain_timeout", submit={}, wait={"timeout": 8, "retries": 0, "cancel_on_kill": True})
chain("chain_soft_fail", submit={}, wait={"timeout": 8, "retries": 0, "soft_fail": True})
