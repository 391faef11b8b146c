"""The scenarios, with grpcio."""

import following
import placing
import serving
from scenarios import telling

telling.main({
    "create": placing.create,
    "reused": placing.reused,
    "partial": placing.partial,
    "all-failed": placing.all_failed,
    "bad-request": placing.bad_request,
    "validate": placing.validate,
    "retry-info": placing.retry_info,
    "results": following.results,
    "watch": following.watch,
    "cancel": placing.cancel,
    "deadline": placing.deadline,
    "health": serving.health,
    "reflection": serving.reflection,
})
