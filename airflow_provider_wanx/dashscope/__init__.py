"""DashScope's asynchronous-task service, usable from any Python program.

Nothing in this package imports Airflow. An image's way through it is one line::

    input → Submission → task id → (wait) → Task → ResultFile → bytes

``client`` has the two clients, ``models`` what they return, ``errors`` what they raise, ``polling`` the decisions
that a wait needs, ``images`` and ``styles`` what can be known about an input before money is spent.
"""

from __future__ import annotations
