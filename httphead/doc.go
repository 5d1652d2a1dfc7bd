// Package httphead parses the heads of HTTP/1.x requests, finds the end of
// their bodies, and writes the heads and chunks of responses. It is the only
// parser of requests in the gateway, so that no request can be read in two
// ways.
//
// In the order of a request's life:
//
//  1. Scan looks for the end of the head in what has been read, resumes where
//     it stopped, and refuses at once what cannot become a head.
//  2. Parse reads the head. It is strict where requests get smuggled: lines
//     end in CRLF, nothing is folded, names are tokens, values hold no control
//     characters, Host occurs once. It keeps names as they were sent and
//     fields in their order, because a listener sees the sender's headers as
//     the sender wrote them.
//  3. Head.Body says how the body is framed, and refuses a framing that is
//     not the only one. The caller counts a body of BodyLength itself; Chunks
//     takes the coding off one of BodyChunked.
//  4. AppendStatus, AppendField, AppendChunk and LastChunk make the response,
//     Head.KeepAlive says whether another request may follow. AppendResponse
//     is a whole response that ends the connection.
//
// What is wrong with a request is a Violation; the connection must be closed
// after any of them. Bounds on the size of a head and of a body are the
// caller's; the number of fields, the lines of chunk sizes and the trailers
// are bounded here.
//
// No I/O; only Chunks has a state, which belongs to one goroutine. Chunks is
// hot and allocates nothing; the rest runs once per request. This package may
// change without notice.
package httphead
