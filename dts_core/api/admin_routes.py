"""Routes of users and namespaces."""

from urllib.parse import quote

from litestar.response.base import ASGIResponse

from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.api.resource_routes import Mount, mount
from dts_core.services.directory import NAMESPACES
from dts_core.services.functions import FUNCTIONS
from dts_core.services.resources.forms import describe
from dts_core.services.users import USERS
from dts_core.services.vhosts import VHOSTS
from dts_core.views import CollectionList

routes = Routes()


mount(routes, Mount(collection=USERS, service=lambda call: call.services.users))
mount(
    routes,
    Mount(
        collection=NAMESPACES,
        service=lambda call: call.services.namespaces,
        read=Permission.READ,
    ),
)


@routes.add("GET", "/admin/schema", Permission.READ, answer=CollectionList)
async def get_collections(call: Call[NoQuery, None]) -> CollectionList:
    """The admin collections: their fields with type, help and choices, their filters and orders."""
    every = (USERS, NAMESPACES, FUNCTIONS, VHOSTS)
    return CollectionList(items=[describe(each) for each in every])


async def see_plural(call: Call[NoQuery, None]) -> ASGIResponse:
    """The former name of this path: 308 to the plural."""
    path = call.request.scope["path"]
    for singular in ("/admin/namespace", "/admin/user", "/admin/vhost"):
        if path == singular or path.startswith(f"{singular}/"):
            path = f"{singular}s{path.removeprefix(singular)}"
            break
    asked = call.request.scope["query_string"].decode("latin-1")
    location = quote(path) + (f"?{asked}" if asked else "")
    return ASGIResponse(status_code=308, headers={"Location": location})


for _path in ("/admin/namespace", "/admin/user", "/admin/vhost"):
    for _tail, _methods in (("", ("GET", "POST")), ("/{id}", ("GET", "PATCH", "PUT", "DELETE"))):
        for _method in _methods:
            routes.add(
                _method, _path + _tail, Permission.READ, query=None, status=308, raw_body=True
            )(see_plural)
