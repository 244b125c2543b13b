"""How the layers of a traced network hang together: order of issue, key consumers, joins, stored tensors.

A tensor with several consumers has one *key consumer*: the first layer of the longest way to the output. Its
activation bits choose the norm before it, and what drains from the array is requantised for it. All
other consumers read a copy that is stored at a declared width. A concatenation is written piece by piece: each
piece is a tensor with a key consumer of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from torch import fx

from bitmixer.concatenation import pieces
from bitmixer.operations import (
    data_flow,
    is_concatenation,
    is_constant,
    is_elementwise,
    is_join,
    is_non_negative,
    is_norm,
    is_product,
    is_site,
    is_stored,
    keeps_sign,
    tensor_operands,
    tensor_users,
)


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What conversion and capture must know of a traced graph.

    Attributes:
        sites: Layers with weights, in the order of issue.
        key_consumer: For every tensor node, the site whose activation bits it is prepared for.
        drain: For every tensor node, the site whose draining results produce it (``None``: the input).
        norm_keys: For every norm, its producer (``None`` for one on the network's input) and key consumer.
    """

    sites: tuple[fx.Node, ...]
    key_consumer: dict[fx.Node, fx.Node | None]
    drain: dict[fx.Node, fx.Node | None]
    norm_keys: dict[fx.Node, tuple[fx.Node | None, fx.Node | None]]

    def is_key_consumer(self, site: fx.Node) -> bool:
        """Whether ``site`` is the one that its input tensor (or a piece of it) is prepared for."""
        return any(self.key_consumer[node] is site for node in branchings(site))

    def writers(self, node: fx.Node) -> tuple[fx.Node, ...]:
        """Return the sites whose results meet in a tensor; a stored shared operand stands for its writer."""
        while not (_is_origin(node) or is_concatenation(node)):
            node = tensor_operands(node)[0]
        if is_site(node) or node.op == "placeholder":
            return (node,) if is_site(node) else ()
        return tuple(dict.fromkeys(writer for operand in _operands(node) for writer in self._operand_writers(operand)))

    def waits(self, operand: fx.Node, join: fx.Node) -> bool:
        """Whether an operand is complete before the join computes, so that it must be stored.

        An operand that drains last meets the others as it drains, element by element. A matrix product needs
        its operands whole.
        """
        root = fresh_root(operand)
        if root is None or self.drain[operand] is None:
            return False
        return self.drain[operand] is not self.drain[join] or (is_product(join) and is_site(root))

    def meets_itself(self, node: fx.Node, user: fx.Node) -> bool:
        """Whether ``user`` leads, element by element, to a join of ``node`` with itself (x * sigmoid(x))."""
        while is_elementwise(user) and len(tensor_users(user)) == 1:
            user = tensor_users(user)[0]
        return is_join(user) and _is_made_of(user, node)

    def _operand_writers(self, operand: fx.Node) -> tuple[fx.Node, ...]:
        fresh = _before_waiting(operand)
        if fresh_root(fresh) is not None:
            return self.writers(fresh)
        writer = self.drain[operand]
        return () if writer is None else (writer,)


def analyse(graph: fx.Graph) -> Structure:
    """Find the structure of a traced graph in normal form."""
    nodes = list(data_flow(graph.nodes))
    remoteness = _remoteness(nodes)
    key_consumer: dict[fx.Node, fx.Node | None] = {}
    for node in reversed(nodes):
        key_consumer[node] = _key_consumer(node, key_consumer, remoteness)
    sites = _issue_order(nodes, key_consumer)
    rank = {site: position for position, site in enumerate(sites)}
    drain: dict[fx.Node, fx.Node | None] = {}
    for node in nodes:
        drain[node] = node if is_site(node) else _last(node, drain, rank)
    norm_keys = {
        node: (_norm_producer(node, drain, key_consumer), key_consumer[node]) for node in nodes if is_norm(node)
    }
    return Structure(sites=sites, key_consumer=key_consumer, drain=drain, norm_keys=norm_keys)


def is_bypassed(site: fx.Node) -> bool:
    """Whether a way leads from the network's input to its output around a site, as a shortcut does."""
    pending, seen = [node for node in site.graph.nodes if node.op == "placeholder"], {site}
    while pending:
        node = pending.pop()
        if node.op == "output":
            return True
        if node not in seen:
            seen.add(node)
            pending.extend(node.users)
    return False


def branchings(site: fx.Node) -> tuple[fx.Node, ...]:
    """Return where the chain that feeds a site (or each piece of it) leaves a shared tensor or an origin."""
    return tuple(_leave(tensor_operands(site)[0]))


def _leave(node: fx.Node) -> Iterator[fx.Node]:
    while is_stored(node) or (len(tensor_users(node)) == 1 and not _is_origin(node)):
        if is_concatenation(node):
            for piece in data_flow(pieces(node)):
                yield from _leave(piece)
            return
        node = tensor_operands(node)[0]
    yield node


def fresh_root(node: fx.Node) -> fx.Node | None:
    """Return the origin that starts a chain of single users; ``None`` behind a shared tensor or the input."""
    while len(tensor_users(node)) == 1 and not is_stored(node):
        if _is_origin(node) or is_concatenation(node):
            return None if node.op == "placeholder" else node
        node = tensor_operands(node)[0]
    return None


def waiting_parts(operand: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
    """Return what of a join's operand may have to wait, each with its reader: the pieces of a concatenation."""
    node = operand
    while len(tensor_users(node)) == 1 and not (_is_origin(node) or is_stored(node)):
        if is_concatenation(node):
            return [part for piece in data_flow(pieces(node)) for part in waiting_parts(piece) or [(piece, node)]]
        node = tensor_operands(node)[0]
    return []


def _before_waiting(operand: fx.Node) -> fx.Node:
    """Return the tensor that was stored for a join alone, where ``operand`` is such a copy."""
    if not is_stored(operand):
        return operand
    (source,) = tensor_operands(operand)
    return source if len(tensor_users(source)) == 1 else operand


def leads_to(node: fx.Node, site: fx.Node) -> bool:
    """Whether ``node`` is ``site`` or prepares its input, with neither layer nor join between."""
    return node is site or (not _is_origin(node) and site in reading_sites(node))


def reading_sites(node: fx.Node) -> list[fx.Node]:
    """Return the sites that read a tensor, with neither layer nor join between."""
    found: list[fx.Node] = []
    for user in tensor_users(node):
        if is_site(user):
            found.append(user)
        elif not is_join(user) and user.op != "output":
            found.extend(reading_sites(user))
    return found


def _is_origin(node: fx.Node) -> bool:
    return is_site(node) or is_join(node) or node.op == "placeholder"


def _operands(node: fx.Node) -> tuple[fx.Node, ...]:
    return data_flow(pieces(node)) if is_concatenation(node) else tensor_operands(node)


def _is_made_of(node: fx.Node, source: fx.Node) -> bool:
    """Whether ``node`` is computed from ``source`` alone, element by element."""
    if node is source:
        return True
    elementwise = is_elementwise(node) or (is_join(node) and not is_product(node))
    return elementwise and all(_is_made_of(operand, source) for operand in tensor_operands(node))


def is_never_negative(node: fx.Node, *, signed_input: bool) -> bool:
    """Whether a tensor holds no negative value, whatever the input."""
    if node.op == "placeholder":
        return not signed_input
    if is_non_negative(node):
        return True
    if is_constant(node) or not keeps_sign(node) or any(is_constant(operand) for operand in node.all_input_nodes):
        return False
    return all(is_never_negative(operand, signed_input=signed_input) for operand in tensor_operands(node))


def _remoteness(nodes: list[fx.Node]) -> dict[fx.Node, tuple[int, int]]:
    """Return for every node the largest number of sites from it (inclusive) to the output, and its place from the end.

    The place decides between equals: the order of a tensor's users would not outlast a change of the graph.
    """
    distance: dict[fx.Node, int] = {}
    for node in reversed(nodes):
        behind = max((distance[user] for user in tensor_users(node)), default=0)
        distance[node] = behind + is_site(node)
    return {node: (distance[node], -place) for place, node in enumerate(nodes)}


def _key_consumer(
    node: fx.Node, known: dict[fx.Node, fx.Node | None], remoteness: dict[fx.Node, tuple[int, int]]
) -> fx.Node | None:
    """Return the reading site farthest from the output; behind a join only if none reads directly."""
    behind = (site for user in tensor_users(node) if (site := known.get(user)) is not None)
    return max(reading_sites(node) or behind, key=remoteness.__getitem__, default=None)


def _issue_order(nodes: list[fx.Node], key_consumer: dict[fx.Node, fx.Node | None]) -> tuple[fx.Node, ...]:
    """Return the sites in topological order, main path before shortcut projections."""

    @cache
    def needed(node: fx.Node) -> frozenset[fx.Node]:
        direct = frozenset(operand for operand in tensor_operands(node) if is_site(operand))
        return direct.union(*(needed(operand) for operand in tensor_operands(node) if not is_site(operand)))

    for node in nodes:  # in order, so that no call goes deep
        needed(node)
    waiting = [node for node in nodes if is_site(node)]
    order: list[fx.Node] = []
    while waiting:
        ready = [site for site in waiting if needed(site).issubset(order)]
        main_path = [site for site in ready if any(key_consumer[node] is site for node in branchings(site))]
        site = (main_path or ready)[0]
        order.append(site)
        waiting.remove(site)
    return tuple(order)


def _last(node: fx.Node, drain: dict[fx.Node, fx.Node | None], rank: dict[fx.Node, int]) -> fx.Node | None:
    sites = [site for operand in tensor_operands(node) if (site := drain[operand]) is not None]
    return max(sites, key=lambda site: rank[site], default=None)


def _norm_producer(
    norm: fx.Node, drain: dict[fx.Node, fx.Node | None], key_consumer: dict[fx.Node, fx.Node | None]
) -> fx.Node | None:
    """Return the site before a norm, if any; behind a join or an undivided concatenation, that on the main path."""
    node = tensor_operands(norm)[0]
    while not (_is_origin(node) or is_concatenation(node)):
        node = tensor_operands(node)[0]
    if is_site(node) or node.op == "placeholder":
        return node if is_site(node) else None
    fresh = [root for operand in _operands(node) if (root := fresh_root(operand)) is not None]
    main_path = [
        root for root in fresh if is_site(root) and any(key_consumer[start] is root for start in branchings(root))
    ]
    return main_path[0] if main_path else drain[node]
