"""Share the queue fairly between people, lose no answer, keep runs whose page is loaded again, and refuse malformed
requests with a sentence."""

import asyncio
from collections.abc import Callable
from typing import Any

import gradio as gr

from promptsr.support.errors import UserError
from workbench.server.gradio_methods import replace_method
from workbench.server.limits import in_force

NETWORK = "network"
"""Gradio's concurrency id of the handlers that run a network: one at a time."""
_NOWHERE = {"index": None, "value": None}
_END = 0.05
"""Seconds that the end of a stream takes to a browser, beside other work."""


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


def let_streams_end(page: gr.Blocks) -> None:
    """Accept a question after the page has heard that its last stream ended; to be called after `page.queue`.

    Gradio ends the stream of a page with the last answer. A page that has not heard of it when its next question is
    accepted opens no other stream, and waits for ever.
    """
    queue = page._queue
    push = queue.push

    async def push_late(body: Any, request: Any, username: str | None) -> Any:
        session = body.session_hash
        ended = session in queue.pending_messages_per_session and not queue.pending_event_ids_session.get(session)
        accepted = await push(body, request, username)
        if ended:
            await asyncio.sleep(_END)
        return accepted

    replace_method(queue, "push", ("body", "request", "username"), push_late)


class _Unread(asyncio.Queue[Any]):
    """Messages to a page that is gone."""

    def put_nowait(self, item: Any) -> None:
        """Drop a message."""


def outlive_pages(page: gr.Blocks, leave: Callable[[str], bool]) -> None:
    """Let runs go on when their page is gone; Gradio would stop them. To be called after `page.queue`.

    Args:
        page: the page.
        leave: takes Gradio's event of a run whose page is gone, and returns whether it goes on.
    """
    queue = page._queue
    clean = queue.clean_events

    async def clean_events(*, session_hash: str | None = None, event_id: str | None = None) -> None:
        running = [event for job in queue.active_jobs if job for event in job]
        staying = [event for event in running if event.session_hash == session_hash and leave(event._id)]
        for event in staying:
            event.session_hash = f"{session_hash} has left"  # Gradio looks for those of the session
            queue.pending_messages_per_session[event.session_hash] = _Unread()
        await clean(session_hash=session_hash, event_id=event_id)
        for event in staying:
            queue.pending_messages_per_session[str(session_hash)] = _Unread()
            event.session_hash = str(session_hash)

    replace_method(queue, "clean_events", ("session_hash", "event_id"), clean_events)


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
