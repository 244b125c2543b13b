"""How the layers of a traced network hang together: order of issue, key consumers, joins, stored tensors.

A tensor with several consumers has one *key consumer*: the first layer of the longest way to the output. Its
activation bits choose the norm before it, and what drains from the array is requantised for it. All
other consumers read a copy that is stored at a declared width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from torch import fx

from bitmixer.errors import UnsupportedNetworkError
from bitmixer.operations import (
    is_add,
    is_norm,
    is_relu,
    is_site,
    is_size,
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
        norm_keys: For every batch-norm, its producer and key consumer.
    """

    sites: tuple[fx.Node, ...]
    key_consumer: dict[fx.Node, fx.Node | None]
    drain: dict[fx.Node, fx.Node | None]
    norm_keys: dict[fx.Node, tuple[fx.Node, fx.Node | None]]

    def is_key_consumer(self, site: fx.Node) -> bool:
        """Whether ``site`` is the one that its input tensor is prepared for."""
        return self.key_consumer[branching(site)] is site

    def operands(self, add: fx.Node) -> tuple[fx.Node, ...]:
        """Return the sites whose results meet in an addition; a stored shared tensor stands for its writer."""
        found: list[fx.Node] = []
        for operand in tensor_operands(add):
            root = fresh_root(_before_waiting(operand))
            if root is not None and is_add(root):
                found.extend(self.operands(root))
            elif (site := root or self.drain[operand]) is not None:
                found.append(site)
        return tuple(dict.fromkeys(found))

    def waits(self, operand: fx.Node, add: fx.Node) -> bool:
        """Whether an operand is complete before the addition's last one drains, so that it must be stored."""
        return fresh_root(operand) is not None and self.drain[operand] is not self.drain[add]


def analyse(graph: fx.Graph) -> Structure:
    """Find the structure of a traced graph."""
    nodes = [node for node in graph.nodes if not is_size(node)]
    distance = _distances(nodes)
    key_consumer: dict[fx.Node, fx.Node | None] = {}
    for node in reversed(nodes):
        key_consumer[node] = _key_consumer(node, key_consumer, distance)
    sites = _issue_order(nodes, key_consumer)
    rank = {site: position for position, site in enumerate(sites)}
    drain: dict[fx.Node, fx.Node | None] = {}
    for node in nodes:
        drain[node] = node if is_site(node) else _last(node, drain, rank)
    norm_keys = {
        node: (_norm_producer(node, drain, key_consumer), key_consumer[node]) for node in nodes if is_norm(node)
    }
    return Structure(sites=sites, key_consumer=key_consumer, drain=drain, norm_keys=norm_keys)


def branching(site: fx.Node) -> fx.Node:
    """Return the node where the chain that feeds a site leaves a tensor with several users (or an origin)."""
    node = tensor_operands(site)[0]
    while is_stored(node) or (len(tensor_users(node)) == 1 and not _is_origin(node)):
        node = tensor_operands(node)[0]
    return node


def fresh_root(node: fx.Node) -> fx.Node | None:
    """Return the site or addition that starts a chain of single users; ``None`` behind a shared tensor."""
    while len(tensor_users(node)) == 1 and not is_stored(node):
        if _is_origin(node):
            return None if node.op == "placeholder" else node
        node = tensor_operands(node)[0]
    return None


def _before_waiting(operand: fx.Node) -> fx.Node:
    """Return the tensor that was stored for an addition alone, where ``operand`` is such a copy."""
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
        elif not is_add(user) and user.op != "output":
            found.extend(reading_sites(user))
    return found


def _is_origin(node: fx.Node) -> bool:
    return is_site(node) or is_add(node) or node.op == "placeholder"


def is_never_negative(node: fx.Node, *, signed_input: bool) -> bool:
    """Whether a tensor holds no negative value, whatever the input."""
    if node.op == "placeholder":
        return not signed_input
    if is_relu(node):
        return True
    operands = tensor_operands(node)
    return keeps_sign(node) and all(is_never_negative(operand, signed_input=signed_input) for operand in operands)


def _distances(nodes: list[fx.Node]) -> dict[fx.Node, int]:
    """Return, for every node, the largest number of sites from it (inclusive) to the output."""
    distance: dict[fx.Node, int] = {}
    for node in reversed(nodes):
        behind = max((distance[user] for user in tensor_users(node)), default=0)
        distance[node] = behind + is_site(node)
    return distance


def _key_consumer(node: fx.Node, known: dict[fx.Node, fx.Node | None], distance: dict[fx.Node, int]) -> fx.Node | None:
    """Return the reading site farthest from the output; behind a join only if none reads directly."""
    direct = reading_sites(node)
    if direct:
        return max(direct, key=lambda site: distance[site])
    for user in tensor_users(node):
        if known.get(user) is not None:
            return known[user]
    return None


def _issue_order(nodes: list[fx.Node], key_consumer: dict[fx.Node, fx.Node | None]) -> tuple[fx.Node, ...]:
    """Return the sites in topological order, main path before shortcut projections."""

    @cache
    def needed(node: fx.Node) -> frozenset[fx.Node]:
        direct = frozenset(operand for operand in tensor_operands(node) if is_site(operand))
        return direct.union(*(needed(operand) for operand in tensor_operands(node) if not is_site(operand)))

    waiting = [node for node in nodes if is_site(node)]
    order: list[fx.Node] = []
    while waiting:
        ready = [site for site in waiting if needed(site).issubset(order)]
        main_path = [site for site in ready if key_consumer[branching(site)] is site]
        site = (main_path or ready)[0]
        order.append(site)
        waiting.remove(site)
    return tuple(order)


def _last(node: fx.Node, drain: dict[fx.Node, fx.Node | None], rank: dict[fx.Node, int]) -> fx.Node | None:
    sites = [site for operand in tensor_operands(node) if (site := drain[operand]) is not None]
    return max(sites, key=lambda site: rank[site], default=None)


def _norm_producer(
    norm: fx.Node, drain: dict[fx.Node, fx.Node | None], key_consumer: dict[fx.Node, fx.Node | None]
) -> fx.Node:
    """Return the site before a norm; behind a join, the operand on the main path."""
    node = tensor_operands(norm)[0]
    while not _is_origin(node):
        node = tensor_operands(node)[0]
    if is_add(node):
        fresh = [root for operand in tensor_operands(node) if (root := fresh_root(operand)) is not None]
        main_path = [root for root in fresh if is_site(root) and key_consumer[branching(root)] is root]
        site = main_path[0] if main_path else drain[node]
    else:
        site = node if is_site(node) else None
    if site is None:
        raise UnsupportedNetworkError(f"{norm.target}: a batch-norm on the network's input has no layer before it")
    return site
