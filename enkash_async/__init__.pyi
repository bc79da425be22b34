# The public names, each once. Type checkers read this file; `__init__.py` takes from it where a name is to be found.

from ._calls.requests import BillRequest as BillRequest
from ._flow.notifier import BillNotifier as BillNotifier
from ._flow.pager import AsyncPager as AsyncPager
from ._money.payment import Payment as Payment, PaymentState as PaymentState
from ._http.login import PasswordGrant as PasswordGrant
from ._support.values import to_dict as to_dict, to_json as to_json
from ._support.version import __version__ as __version__
from .bulk import (
    BulkError as BulkError,
    BulkGroup as BulkGroup,
    BulkItem as BulkItem,
    BulkResult as BulkResult,
    Confirmations as Confirmations,
)
from .client import EnkashClient as EnkashClient
from .config import (
    Limits as Limits,
    PollPolicy as PollPolicy,
    RetryPolicy as RetryPolicy,
    Routes as Routes,
    SettlePolicy as SettlePolicy,
    Timeouts as Timeouts,
)
from .errors import (
    ApiError as ApiError,
    AuthenticationError as AuthenticationError,
    BadRequestError as BadRequestError,
    BillerInactiveError as BillerInactiveError,
    ConfigurationError as ConfigurationError,
    CredentialsRejectedError as CredentialsRejectedError,
    DuplicateReferenceError as DuplicateReferenceError,
    EnkashError as EnkashError,
    InvalidRequestError as InvalidRequestError,
    LoginGuardError as LoginGuardError,
    NotFoundError as NotFoundError,
    OutcomeUnknownError as OutcomeUnknownError,
    PermissionDeniedError as PermissionDeniedError,
    RateLimitError as RateLimitError,
    RequestTimeoutError as RequestTimeoutError,
    ResponseDecodeError as ResponseDecodeError,
    RetryAdvice as RetryAdvice,
    ServerError as ServerError,
    StoreError as StoreError,
    StoreUnavailableError as StoreUnavailableError,
    TokenEndpointError as TokenEndpointError,
    TokenError as TokenError,
    TokenReplyError as TokenReplyError,
    TransportError as TransportError,
    VelocityLimitError as VelocityLimitError,
    WaitTimeoutError as WaitTimeoutError,
    WebhookAuthenticationError as WebhookAuthenticationError,
    WebhookError as WebhookError,
    WebhookPayloadError as WebhookPayloadError,
)
from .models import (
    ApprovalStatus as ApprovalStatus,
    Bill as Bill,
    BillCopyStatus as BillCopyStatus,
    Biller as Biller,
    BillerCategory as BillerCategory,
    BillerParam as BillerParam,
    BillerType as BillerType,
    BillFilter as BillFilter,
    BillPayStatus as BillPayStatus,
    Circle as Circle,
    CompanyBiller as CompanyBiller,
    DebitRecord as DebitRecord,
    FetchedBill as FetchedBill,
    Outcome as Outcome,
    PaymentInitiation as PaymentInitiation,
    PaymentMode as PaymentMode,
    PaymentStatus as PaymentStatus,
    PaymentType as PaymentType,
    WebhookEvent as WebhookEvent,
    WebhookRegistration as WebhookRegistration,
)
from .stores import (
    Cell as Cell,
    Change as Change,
    MemoryStore as MemoryStore,
    PostgresStore as PostgresStore,
    RedisStore as RedisStore,
    SQLiteStore as SQLiteStore,
    Store as Store,
    open_store as open_store,
)
from .tokens import (
    Credentials as Credentials,
    Identity as Identity,
    InMemoryTokenProvider as InMemoryTokenProvider,
    ProviderState as ProviderState,
    RedisTokenProvider as RedisTokenProvider,
    SharedTokenProvider as SharedTokenProvider,
    StaticTokenProvider as StaticTokenProvider,
    StoreTokenProvider as StoreTokenProvider,
    Token as Token,
    TokenProvider as TokenProvider,
    TokenSealer as TokenSealer,
    TokenSource as TokenSource,
)
