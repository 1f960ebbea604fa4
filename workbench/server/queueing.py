"""Share the queue fairly between people, and refuse malformed requests with a sentence."""

from typing import Any

import gradio as gr

from promptsr.support.errors import UserError
from workbench.server.gradio_methods import replace_method
from workbench.server.limits import in_force

NETWORK = "network"
"""Gradio's concurrency id of the handlers that run a network: one at a time."""
_NOWHERE = {"index": None, "value": None}


def share_fairly(page: gr.Blocks) -> None:
    """Limit the questions of one person that wait for a network; to be called after `page.queue`.

    A person is who has logged in; without that, an open page.
    """
    queue = page._queue
    push = queue.push

    async def push_fairly(body: Any, request: Any, username: str | None) -> Any:
        # A click that does not say where it was would be an error within Gradio.
        body.event_data = _NOWHERE | (body.event_data if isinstance(body.event_data, dict) else {})
        function = page.fns.get(body.fn_index)
        most = in_force().waiting_each
        if function is not None and function.concurrency_id == NETWORK:
            waiting = queue.event_queue_per_concurrency_id.get(NETWORK)
            running = [event for job in queue.active_jobs if job for event in job]
            asked = [
                event
                for event in [*(waiting.queue if waiting else []), *running]
                if event.concurrency_id == NETWORK
                and (event.username == username if username else event.session_hash == body.session_hash)
            ]
            if len(asked) >= most:
                return False, f"You have {most} questions waiting already: wait for one, or cancel it.", "queue_full"
        return await push(body, request, username)

    replace_method(queue, "push", ("body", "request", "username"), push_fairly)


def refuse_other_requests(page: gr.Blocks) -> None:
    """Turn values that no component of the page would send into an error with a sentence."""
    preprocess = page.preprocess_data

    async def preprocess_data(*args: Any, **options: Any) -> Any:
        try:
            return await preprocess(*args, **options)
        except (gr.Error, UserError):
            raise
        except Exception as error:
            raise gr.Error(
                "This request cannot be understood: the page's API shows what each endpoint takes.",
                print_exception=False,
            ) from error

    replace_method(page, "preprocess_data", ("block_fn", "inputs", "state", "explicit_call"), preprocess_data)
