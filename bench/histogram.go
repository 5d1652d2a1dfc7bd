package bench

import (
	"math/bits"
	"time"
)

const (
	// histogramBits is the precision: each power of two is cut into
	// 1<<histogramBits buckets, so a quantile is at most 1/128 too high.
	histogramBits = 7
	// histogramMax is the longest duration told apart, about 18 minutes;
	// longer ones are counted as this. No test runs that long.
	histogramMax = 1<<40 - 1
	// histogramBuckets is the index of histogramMax, plus one.
	histogramBuckets = (40 - histogramBits + 1) << histogramBits
)

// Histogram counts durations in buckets whose width grows with the value, the
// way of HDR histograms: constant relative error, constant memory (about 35
// KiB), no allocation in Record. The zero value is empty and ready to use. It
// is not safe for concurrent use.
type Histogram struct {
	counts [histogramBuckets]uint64
	total  uint64
	sum    float64 // nanoseconds
	max    time.Duration
}

// Record counts d once. A negative d counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = min(max(d, 0), histogramMax)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.sum += float64(d)
	h.max = max(h.max, d)
}

// Merge adds everything that o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count is the number of recorded durations.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest recorded duration, exact up to histogramMax.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the arithmetic mean, zero when nothing was recorded.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.total))
}

// Quantile returns a duration that at least the share q (0 to 1) of the
// recorded ones does not exceed: the upper edge of the bucket that holds it,
// never more than Max. It is zero when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) || rank == 0 {
		rank++
	}
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(bucketEdge(i)), h.max)
		}
	}
	return h.max
}

// bucketOf maps a value to its bucket. Values below 1<<histogramBits have a
// bucket each; above, the leading histogramBits+1 bits choose it.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-1-histogramBits, 0)
	return shift<<histogramBits + int(v>>shift)
}

// bucketEdge is the largest value that bucketOf maps to i.
func bucketEdge(i int) uint64 {
	shift := max(i>>histogramBits-1, 0)
	top := uint64(i - shift<<histogramBits)
	return (top+1)<<shift - 1
}
