// Package httphead parses the heads of HTTP/1.x requests and writes the heads
// of responses. It is the only parser of request heads in the gateway, so that
// no request can be read in two ways.
//
// It is strict where requests get smuggled: lines end in CRLF, nothing is
// folded, names are tokens, values hold no control characters, Host occurs
// once. It keeps names as they were sent and fields in their order, because a
// listener sees the sender's headers as the sender wrote them.
//
// Parse is called when the end of the head has been seen; FindEnd looks for it
// and resumes where it stopped; Plausible refuses what cannot become a request
// from its first bytes. Bounds on the size of a head are the caller's, the
// number of fields is bounded here.
//
// No I/O, no state. Not hot: once per connection. It may change without
// notice.
package httphead
