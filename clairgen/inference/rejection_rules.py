"""The words and codes by which servers tell a fault of one prompt, or of the key, the account, the model or the address.

To learn a new server's words, add a phrase to the rule that it belongs to, and a case to the tests.
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from clairgen.patterns import lazy_pattern


class AtFault(StrEnum):
    """Whose fault a rejection is.

    `RATE`: too many requests, everybody slows down. `SERVER`: the server failed, try again. `SETUP`: key, account, model or
    address: every request will be refused until somebody fixes it. `PROMPT`: this request alone. `UNCLEAR`: one of the last two.
    """

    RATE = "rate"
    SERVER = "server"
    SETUP = "setup"
    PROMPT = "prompt"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rejection is if it has one of `codes` or one of the phrases in `pattern`."""

    fault: AtFault
    reason: str
    hint: str
    codes: frozenset[str]
    pattern: re.Pattern[str]

    def matches(self, codes: AbstractSet[str], said: str) -> bool:
        """Whether one of an error's codes, in lower case, or its message is of this kind."""
        return bool(self.codes & codes) or self.pattern.search(said) is not None


def _rule(fault: AtFault, reason: str, hint: str, codes: str, *phrases: str) -> Rule:
    return Rule(fault, reason, hint, frozenset(codes.split()), lazy_pattern("|".join(phrases), re.IGNORECASE))


CONTEXT = _rule(
    AtFault.PROMPT,
    "context-overflow",
    "",
    """
    context_length_exceeded exceed_context_size_error string_above_max_length context_window_exceeded prompt_too_long
    contextwindowexceedederror
    """,
    r"context[ _-]?(length|size|window|limit)",
    r"max(imum)?[ _]model[ _]len",
    r"(prompt|input|message|request|conversation)s? (is|are|was) (too|longer)",
    r"too many (input |prompt )?tokens",
    r"reduce the length",
    r"maximum (number of )?(input |prompt )?tokens",
    r"input (token|length)[^.]{0,60}(exceed|longer|greater)",
    r"exceeds? the (maximum|available|model|limit)[^.]{0,40}(token|length|context)",
    r"inputs` tokens \+ `max_new_tokens",
    r"longer than the (maximum )?model",
)
POLICY = _rule(
    AtFault.PROMPT,
    "content-policy",
    "",
    """
    content_policy_violation content_filter responsibleaipolicyviolation data_inspection_failed datainspectionfailed
    invalid_prompt moderation_error content_moderation prohibited_content sensitive_words_detected cyber_policy
    """,
    r"content (management )?polic",
    r"usage polic",
    r"content[ _]filter",
    r"flagged",
    r"requires moderation",
    r"content exists risk",
    r"inappropriate (content|input)",
    r"unsafe (content|prompt|input)",
    r"sensitive (content|information|word)",
    r"prohibited content",
    r"violat\w+ (our|the|its)[^.]{0,40}(polic|guideline|terms)",
    r"safety (system|filter|setting)",
    r"harmful content",
)
NO_CREDIT = _rule(
    AtFault.SETUP,
    "no-credit",
    "the account has no credit left: add some, then run the same command again",
    """
    insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance insufficient_credits payment_required
    insufficient_user_quota credit_exhausted quota_exhausted arrearage accountoverdueerror
    """,
    r"insufficient (balance|credit|fund|quota)",
    r"credit balance is too low",
    r"exceeded your current quota",
    r"(billing )?hard limit (has been )?reached",
    r"(add|purchase|buy|requires?) (more )?credits",
    r"(out of|no|not enough) credits?",
    r"payment (is )?required",
    r"account is (in arrears|overdue)",
    r"spend(ing)? limit",
    r"monthly (budget|limit)",
)
KEY = _rule(
    AtFault.SETUP,
    "invalid-key",
    "check the API key in the variable that api_key_env names",
    """
    invalid_api_key authentication_error api_key_invalid unauthorized unauthenticated invalid_authentication account_deactivated
    invalid_token token_expired expired_api_key invalid_organization
    """,
    r"api[ _-]?key[^.]{0,60}(not valid|invalid|incorrect|missing|expired|not found|revoked|required|not provided)",
    r"(invalid|incorrect|missing|expired|no|wrong|bad|provide an?) api[ _-]?key",
    r"unauthori[sz]ed",
    r"authenticat",
    r"(invalid|expired) (bearer |access )?token\b",
    r"account (has been |is )?(deactivated|suspended|disabled|terminated)",
)
MODEL = _rule(
    AtFault.SETUP,
    "unknown-model",
    "check the model's name",
    """
    model_not_found invalid_model deploymentnotfound model_not_available unknown_model modelnotfound model_not_exist no_such_model
    model_not_supported unsupported_model
    """,
    r"model[^.]{0,120}?(not found|does ?n[o']t exist|not exist|is not available|not loaded|not supported|no longer available)",
    r"model[^.]{0,120}?(has been deprecated|decommissioned|is not a valid)",
    r"(invalid|unknown|no such|unsupported|nonexistent) (model|deployment)",
    r"no models? (is |are )?loaded",
    r"deployment[^.]{0,60}does not exist",
)
URL = _rule(
    AtFault.SETUP,
    "wrong-url",
    "check that the base URL ends in /v1, and the model's name",
    "unknown_url not_found_error method_not_allowed",
    r"unexpected endpoint",
    r"unknown (request )?(url|endpoint)",
    r"(path|route|url|page|endpoint)[^.]{0,60}not found",
    r"cannot (post|get) /",
    r"method not allowed",
    r"api version[^.]{0,40}not supported",
)
ACCESS = _rule(
    AtFault.SETUP,
    "no-access",
    "check that the API key may use this model",
    """
    permission_denied permission_error access_denied model_access_denied insufficient_permissions permissiondenied
    accessdeniedexception unsupported_country_region_territory
    """,
    r"(not|n't) (have|has) (access|permission)",
    r"permission denied",
    r"access (is )?denied",
    r"country[^.]{0,40}not supported",
    r"location is not supported",
    r"not (allowed|authorized|permitted) to (use|access|call)",
)
NO_CAPACITY = _rule(
    AtFault.SERVER,
    "no-capacity",
    "",
    "resource_unavailable capacity_exceeded flex_capacity_exceeded",
    r"\bresources? (is |are )?(currently |temporarily )?unavailable",
    r"\bflex\b[^.]{0,60}(capacity|unavailable)",
    r"capacity[^.]{0,60}\bflex\b",
)
"""A tier without guarantee has no room now: 429 of OpenAI's and Azure's flex, 498 of Groq's. No rate limit was broken."""
TIER = _rule(
    AtFault.SETUP,
    "unsupported-parameter",
    "its server or model does not take this service_tier: leave it out for this role, or give another",
    "",
    r"service[ _-]?tier",
    r"(not|n't) support (the )?\W?(flex|priority)\b",
    r"\b(flex|priority)( processing| tier)? (is|are) (not|un)[ \w]{0,12}(support|avail|allow|enabled)",
)
NO_STREAMS = _rule(
    AtFault.SETUP,
    "unsupported-parameter",
    "leave `stream` out for this role",
    "",
    r"(does(n't| not)|do not|cannot|no) support (for )?stream",
    r"(?<!non[-_ ])(?<!non)\bstream(s|ing|ed)?( mode| requests?| responses?| completions?)? (is|are) (not|un)[ \w]{0,12}"
    r"(support|avail|allow|impl)",
    r"only (supports? |accepts? |allows? )?non[-_ ]?stream",
    r"\bstream\W{1,4}(must|should|has to) be (set to )?[`'\"]?false",
)
ONLY_STREAMS = _rule(
    AtFault.SETUP,
    "only-streams",
    "it gives its answers only as streams; set stream: true for this role",
    "",
    r"only (be )?(available|works?|supports?|supported|accepts?|allows?|served?|serves)?( in| with| for| by| via| the)* ?"
    r"[`'\"]?stream(ing|s)?[`'\"]?( (mode|requests?|responses?|output|calls?|completions?|(is|are) [^.]{0,20}"
    r"(support|allow|accept|avail)\w*))?(\W|$)(?! ?(of|to)\b)",
    r"\bstream\W{1,4}(parameter |field |option )?(must|should|has to|needs to) be (set to )?[`'\"]?(true|enabled|1)",
    r"\b(enable|requires?|turn on) (the )?[`'\"]?stream(ing|s)?\b[`'\"]?(?! (is|are) not)(?![ =:to]{0,5}[`'\"]?false)",
    r"\b(set|use|pass|with) [`'\"]?stream[`'\"]?( to|:|=| =) ?[`'\"]?true",
    r"\bstream(ing)? (mode )?is (\w+ )?(required|mandatory)",
    r"non[-_ ]?stream(ing|ed)?( \w+){0,3} ((is|are) (not|un)|isn't|aren't|not )",
    r"(n't| not) (support|allow|accept)( \w+){0,2} non[-_ ]?stream",
    r"for non[-_ ]?stream",
)
RULES = (
    CONTEXT,
    POLICY,
    TIER,
    NO_STREAMS,
    ONLY_STREAMS,
    NO_CREDIT,
    KEY,
    MODEL,
    URL,
    ACCESS,
)  # the first that matches wins
