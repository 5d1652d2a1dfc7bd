package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 129, 255, 256, 257, 511, 512, 1e6, 1e9, histogramMax} {
		i := bucketOf(v)
		if i < 0 || i >= histogramBuckets {
			t.Fatalf("bucketOf(%d) = %d, outside 0..%d", v, i, histogramBuckets-1)
		}
		edge := bucketEdge(i)
		if edge < v || float64(edge-v) > float64(v)/(1<<histogramBits) {
			t.Errorf("bucket %d of %d ends at %d, want within 1/128 above it", i, v, edge)
		}
		if bucketOf(edge) != i {
			t.Errorf("edge %d of bucket %d falls into bucket %d", edge, i, bucketOf(edge))
		}
		if next := bucketOf(edge + 1); next != i+1 {
			t.Errorf("value %d after the edge falls into bucket %d, want %d", edge+1, next, i+1)
		}
	}
}

func TestHistogramQuantilesAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(rng.ExpFloat64() * 1e6)
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		got := h.Quantile(q)
		if got < want || float64(got-want) > float64(want)/64+1 {
			t.Errorf("quantile %v = %v, want %v to 1/64 above", q, got, want)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("max %v count %d, want %v %d", h.Max(), h.Count(), all[len(all)-1], len(all))
	}
}

func TestHistogramEdges(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 {
		t.Error("an empty histogram must answer zero")
	}
	h.Record(-time.Second)
	h.Record(time.Hour)
	if got := h.Quantile(0); got != 0 {
		t.Errorf("a negative duration counted as %v, want 0", got)
	}
	if got := h.Quantile(1); got != histogramMax {
		t.Errorf("an hour counted as %v, want the maximum %v", got, time.Duration(histogramMax))
	}
	var sum Histogram
	sum.Merge(&h)
	sum.Merge(&h)
	if sum.Count() != 4 || sum.Max() != h.Max() || sum.Quantile(0.5) != h.Quantile(0.5) {
		t.Errorf("merged twice: count %d max %v", sum.Count(), sum.Max())
	}
	h.Reset()
	if h.Count() != 0 || h.Max() != 0 {
		t.Error("reset left something behind")
	}
}

func TestHistogramRecordDoesNotAllocate(t *testing.T) {
	h := new(Histogram)
	if n := testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }); n != 0 {
		t.Errorf("Record allocates %v times", n)
	}
}
