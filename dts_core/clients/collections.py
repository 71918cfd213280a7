"""The admin collections of a client: each with its calls, on the loop or blocking."""

from dts_core.clients import calls
from dts_core.clients.describe import (
    AsyncCalls,
    AsyncSender,
    SyncCalls,
    SyncSender,
    call,
    collection_call,
)


class AsyncGroup(AsyncCalls):
    """Calls of one part of the API, on the loop."""

    def __init__(self, sender: AsyncSender) -> None:
        self._to = sender

    def _sender(self) -> AsyncSender:
        return self._to


class SyncGroup(SyncCalls):
    """Calls of one part of the API, blocking."""

    def __init__(self, sender: SyncSender) -> None:
        self._to = sender

    def _sender(self) -> SyncSender:
        return self._to


class FunctionReads:
    """`client.functions`: what there is to call."""

    list = call(calls.list_functions)
    get = call(calls.get_function)
    source = call(calls.function_source)
    outcomes = call(calls.function_outcomes)


class FunctionWrites(FunctionReads):
    """`admin.functions`: and how it changes."""

    add = call(calls.add_function)
    update = call(calls.update_function)
    replace = call(calls.replace_function)
    delete = call(calls.delete_function)
    deploy = call(calls.deploy_function)
    signing = call(calls.signing)
    resign = call(calls.resign)


class CollectionCalls:
    """Any admin collection by its name, its documents as maps."""

    collection: str
    list = collection_call(calls.list_documents)
    get = collection_call(calls.get_document)
    add = collection_call(calls.add_document)
    update = collection_call(calls.update_document)
    replace = collection_call(calls.replace_document)
    delete = collection_call(calls.delete_document)


class UserCalls:
    """`admin.users`: who may ask."""

    collection = "users"
    list = call(calls.list_users)
    get = call(calls.get_user)
    add = call(calls.add_user)
    update = call(calls.update_user)
    replace = call(calls.replace_user)
    delete = collection_call(calls.delete_document)


class NamespaceCalls:
    """`admin.namespaces`: what owns functions."""

    collection = "namespaces"
    list = call(calls.list_namespaces)
    get = call(calls.get_namespace)
    add = call(calls.add_namespace)
    update = call(calls.update_namespace)
    replace = call(calls.replace_namespace)
    delete = collection_call(calls.delete_document)


class VhostCalls:
    """`admin.vhosts`: machines reached by SSH."""

    collection = "vhosts"
    list = call(calls.list_vhosts)
    get = call(calls.get_vhost)
    add = call(calls.add_vhost)
    update = call(calls.update_vhost)
    replace = call(calls.replace_vhost)
    delete = collection_call(calls.delete_document)
    scan = call(calls.scan_vhosts)
    trust = call(calls.trust_vhost)
    forget_key = call(calls.forget_vhost_key)
    init = call(calls.init_vhost)
    remove = call(calls.remove_vhost)
    rotate = call(calls.rotate_vhost)


class Functions(FunctionReads, AsyncGroup):
    """Functions, on the loop."""


class AdminFunctions(FunctionWrites, Functions):
    """Functions and their changes, on the loop."""


class SyncFunctions(FunctionReads, SyncGroup):
    """Functions, blocking."""


class SyncAdminFunctions(FunctionWrites, SyncFunctions):
    """Functions and their changes, blocking."""


class Users(UserCalls, AsyncGroup):
    """Users, on the loop."""


class SyncUsers(UserCalls, SyncGroup):
    """Users, blocking."""


class Namespaces(NamespaceCalls, AsyncGroup):
    """Namespaces, on the loop."""


class SyncNamespaces(NamespaceCalls, SyncGroup):
    """Namespaces, blocking."""


class Vhosts(VhostCalls, AsyncGroup):
    """Virtual hosts, on the loop."""


class SyncVhosts(VhostCalls, SyncGroup):
    """Virtual hosts, blocking."""


class Collection(CollectionCalls, AsyncGroup):
    """An admin collection, on the loop."""

    def __init__(self, sender: AsyncSender, collection: str) -> None:
        super().__init__(sender)
        self.collection = collection


class SyncCollection(CollectionCalls, SyncGroup):
    """An admin collection, blocking."""

    def __init__(self, sender: SyncSender, collection: str) -> None:
        super().__init__(sender)
        self.collection = collection
