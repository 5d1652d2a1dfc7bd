package httprelay

import (
	"sync"

	"github.com/relayhouse/relayhouse/engine"
)

// bufferBytes holds the largest read with what is put around it. A buffer is
// in use only while a loop handles one read; few are needed, and they do not
// grow as those of a pool for all sizes do.
const bufferBytes = engine.BulkBytes + 8<<10

var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufferBytes)
	return &b
}}

// takeBuffer returns an empty buffer of bufferBytes.
func takeBuffer() *[]byte {
	b := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// giveBuffer takes a buffer back, unless a large head has made it grow.
func giveBuffer(b *[]byte) {
	if cap(*b) <= 2*bufferBytes {
		buffers.Put(b)
	}
}
