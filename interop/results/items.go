package main

// item is one line of the conformance list (docs/protocol.md, section 7).
type item struct {
	number    int
	behaviour string
	notShown  string // why it, or a part of it, is not shown by this suite
}

// items are those that concern WebSockets. The list's other numbers concern
// relayed HTTP requests.
var items = []item{
	{1, "1 KiB arrives, both closes complete", ""},
	{2, "sender half-closes", ""},
	{3, "listener half-closes after 2 KiB", ""},
	{4, "100 connections at once, small echoes in one piece", ""},
	{5, "a sender's header reaches the listener", ""},
	{6, "1 MiB each way, clean shutdown", ""},
	{7, "listener aborts: the sender's read fails", ""},
	{8, "either side drops: the other one ends", ""},
	{9, "sender aborts before the accept", ""},
	{10, "sender for an unknown entity: 404", ""},
	{11, "listener for an unknown entity: 404", ""},
	{12, "listener with a wrong key: 401", ""},
	{13, "sender with a wrong key: 401", ""},
	{14, "sender without a token: 401", ""},
	{15, "listener closes promptly while senders wait", ""},
	{16, "raw sender: no action, form-encoded token", ""},
	{17, "accept handler; a response header does no harm", ""},
	{18, "reject, default: 400", ""},
	{19, "reject with a code only", ""},
	{20, "reject with code and text", ""},
	{21, "failure of the accept handler: 502", ""},
	{22, "rejects and accepts in a row", ""},
	{23, "subprotocol", ""},
	{24, "256 and 65,537 bytes both ways", ""},
	{25, "text stays text, also 65,536 characters", ""},
	{26, "repeated messages, several senders", ""},
	{27, "a close reaches the other side within 500 ms", ""},
	{28, "extra query", ""},
	{29, "open is online, close is offline", ""},
	{30, "control channel killed: reconnect and usable", ""},
	{31, "register again at once after a close", ""},
	{32, "close codes after a normal close", ""},
	{33, "closing the listener closes its relays", ""},
	{34, "renewToken, valid and invalid", ""},
	{63, "no listener: 404", ""},
	{64, "accept window, single use, 410 for a reject", ""},
	{65, "26th listener refused, 25 served", ""},
	{66, "time-outs of relayed HTTP requests", "concerns relayed HTTP requests"},
	{67, "1008 at expiry; relays survive", "1001 on the removal of an entity: needs the " +
		"management of entities, which has its own tests in the gateway"},
	{68, "tokens are never visible to a listener", ""},
	{69, "no Via on errors of the gateway", "wantRefusal checks it on every refusal of the " +
		"other items; Via on answers concerns relayed HTTP requests"},
	{70, "both keys, scopes, rights", ""},
	{71, "tokens of all client shapes", ""},
	{72, "odd ends of response bodies", "concerns relayed HTTP requests"},
	{73, "garbage renewToken: 1008, then listen again", ""},
}
