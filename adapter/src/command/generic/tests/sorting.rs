//! SORT beside the real one.

use super::Pair;

#[test]
fn lists_sort_by_themselves_and_by_other_keys_as_in_redis() {
    Pair::start().same_lines(
        "
        rpush l 3 1 2
        sort l
        sort l desc
        sort l asc desc
        sort l limit 0
        sort l limit a b
        sort l limit 0 2
        sort l limit 1 -1
        sort l limit -1 2
        sort l limit 5 2
        sort l limit 2 1 limit 0 1
        sort l by
        sort l get
        sort l by nosort
        sort l by nosort desc
        sort l by nosort limit 1 1
        sort l by nosort desc limit 0 1
        sort l foo
        sort l store
        sort l store d
        lrange d 0 -1
        sort nokey store d
        exists d
        sort nokey
        sort nokey limit a b
        sort nokey foo
        set str x
        sort str
        sort str foo
        rpush la a 1
        sort la
        sort la by w_*
        sort la alpha
        sort la alpha desc
        set w_a x
        sort la by w_*
        sort la by w_* alpha
        sort l get #
        sort l get # get w_*
        sort l get h_*->f
        hset h_1 f one
        sort l get h_*->f
        sort l by h_*->f
        hset h_2 f 0.5
        hset h_1 f 7
        sort l by h_*->f
        sort l by h_*->
        sort l get h_*->
        sort l get *
        sort l get \"\"
        sort l get h_
        sort l by \"\"
        set h_3 9
        sort l get h_*
        sort l get h_*->f->g
        sort l get h_->*
        sort l get h_*x->f
        ",
    );
}

#[test]
fn sorted_sets_sort_and_store_as_in_redis() {
    Pair::start().same_lines(
        "
        rpush l 3 1 2
        zadd z 3 a 1 b 2 c
        sort z by nosort
        sort z by nosort desc
        sort z by nosort limit 1 1
        sort z by nosort desc limit 1 1
        sort z alpha
        sort z
        sort z by nosort get # store dd
        sort z by nosort store dd
        sort z by nosort get nope_* store dd
        lrange dd 0 -1
        sort_ro l
        sort_ro l store x
        sort_ro z by nosort
        hset hh a b
        ",
    );
}

#[test]
fn what_is_a_number_is_as_in_redis() {
    Pair::start().same_lines(
        "
        set w_a x
        rpush e inf -inf 5 nan
        sort e
        rpush e2 inf -inf 5
        sort e2
        rpush e3 ~5 3
        sort e3
        rpush e4 5~ 3
        sort e4
        rpush e5 0x10 3 1e1
        sort e5
        rpush e6 \"\" 3 -1
        sort e6
        rpush dup 1 01 1.0 0
        sort dup
        sort dup desc
        sort dup by w_x*
        sort dup by w_x* desc
        sort dup by w_x* alpha desc
        rpush ab b a C c B A
        sort ab alpha
        sort ab alpha desc
        ",
    );
}

#[test]
fn limits_and_stores_are_as_in_redis() {
    Pair::start().same_lines(
        "
        rpush l 3 1 2
        sort l limit 9223372036854775807 1
        sort l limit 1 9223372036854775807
        sort l limit -9223372036854775808 1
        sort l store str2 get w_*
        lrange str2 0 -1
        set over x
        sort l store over
        type over
        sort l store
        sort
        sort l desc alpha
        sadd s 3 1 2
        sadd s2 b a c
        sort s2 by nosort store s3
        lrange s3 0 -1
        sort l get 1*
        ",
    );
}
