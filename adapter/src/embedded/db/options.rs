//! RocksDB's options: tuned for small machines, with memory bounded by the configuration.

use conf::config::Storage;
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, LogLevel, Options};

use crate::embedded::db::schema::Family;

/// Bloom filter bits per key: a false positive rate of about 1 %.
const FILTER_BITS: f64 = 10.0;
/// The size of index and filter partitions, bytes.
const METADATA_BLOCK: usize = 4096;
/// The share of a memtable that its bloom filter takes; it saves most look-ups of missing keys.
const MEMTABLE_FILTER: f64 = 0.02;
/// Arena blocks per write buffer.
const ARENA_BLOCKS: usize = 512;
/// A file with a window of this many entries of which this many are deletions is compacted early, so that scans do
/// not wade through tombstones.
const TOMBSTONES: (usize, usize) = (4096, 2048);
/// The size of RocksDB's info log, bytes; two files are kept.
const INFO_LOG: usize = 4 * 1024 * 1024;

/// The options of the whole database.
pub(crate) fn database(config: &Storage) -> Options {
    let mut options = Options::default();
    options.set_atomic_flush(true);
    options.set_db_write_buffer_size(config.write_buffer_bytes);
    options.set_max_background_jobs(2);
    options.set_max_open_files(i32::try_from(config.max_open_files).unwrap_or(i32::MAX));
    // There is a single writer: concurrent memtable inserts would only cost.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_pipelined_write(false);
    options.set_bytes_per_sync(1024 * 1024);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(INFO_LOG);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// The options of one column family; all share one block cache.
pub(crate) fn family(config: &Storage, family: Family, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_bloom_filter(FILTER_BITS, false);
    table.set_whole_key_filtering(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Unpartitioned, the filter of a large file exceeds a MiB. Where the cache cannot hold the filters of all
    // files, every look-up would read one and verify its checksum.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK);
    table.set_pin_top_level_index_and_filter(true);
    table.set_format_version(5);

    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    // The effective limit is that of all families together, set on the database.
    options.set_write_buffer_size(config.write_buffer_bytes);
    options.set_max_write_buffer_number(2);
    // Every family allocates in such blocks; with RocksDB's default, empty families would fill a small buffer.
    options.set_arena_block_size((config.write_buffer_bytes / ARENA_BLOCKS).clamp(4 * 1024, 1024 * 1024));
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_compression_per_level(&compression());
    let (window, deletions) = TOMBSTONES;
    options.add_compact_on_deletion_collector_factory(window, deletions, 0.0);
    if matches!(family, Family::Meta | Family::Fields | Family::Members) {
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER);
    }
    options
}

/// The top levels are rewritten soon: not worth compressing.
fn compression() -> [DBCompressionType; 7] {
    let mut levels = [DBCompressionType::Lz4; 7];
    levels[0] = DBCompressionType::None;
    levels[1] = DBCompressionType::None;
    levels
}
