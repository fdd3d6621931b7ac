//! What can be wrong with a store.

/// One thing that a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A closed store knows no ID.
    AbsentWhenClosed,
    /// A store that can't reach its backend knows no ID.
    AbsentWhenCutOff,
    /// A customer has at most forty ACS IDs.
    FewIdsPerCustomer,
    /// Create-only is taken for replace.
    CreateOnlyOverwrites,
    /// Create-only looks first and writes later.
    CreateOnlyRaces,
    /// A conflict does not say what is there.
    ConflictWithoutRevision,
    /// A link over an expired mapping does not say whose it was.
    ForgetsDisplaced,
    /// A re-link by revision leaves the reverse entry of the customer before.
    StaleReverseEntry,
    /// `unlink_customer` removes one page of mappings.
    UnlinksOnePage,
    /// `unlink_customer` also removes what it finds with another customer by then.
    UnlinksWhatIsTaken,
    /// `unlink_customer` takes a mapping that has come back meanwhile for the end of what was there.
    StopsAtWhatComesBack,
    /// A reverse entry without a forward record is shown.
    ShowsHalfDoneWrites,
    /// A new link starts with an old revision, as if there had been none before the unlink.
    ForgetsUnlinked,
    /// ACS IDs are compared without case.
    IgnoresCase,
    /// Customers are compared without spaces at their end.
    IgnoresTrailingSpaces,
    /// Only the first twenty bytes of a namespace count.
    CutsNamespaces,
    /// An ID that is asked twice is answered once.
    AnswersDuplicatesOnce,
    /// A large batch is cut into parts, whose answers come in another order.
    MixesUpParts,
    /// `resolve` does not look at the expiry.
    ShowsExpired,
    /// Lifetimes are cut to whole seconds.
    CutsLifetimes,
    /// A page does not say when it was read.
    PagesWithoutTime,
    /// `purge_expired` frees nothing.
    NeverPurges,
    /// A write by revision that conflicts has written its properties.
    ConflictWrites,
    /// `link_many` writes the first thousand, and acknowledges all.
    CutsLinks,
    /// `import` does so.
    CutsImports,
    /// A write without a backend fails, and is done.
    WritesWhenCutOff,
    /// A restart loses what was acknowledged.
    LosesOnRestart,
    /// Each page of a scan but the first lacks its first mapping.
    ScanSkips,
    /// Each page of a scan but the first lists a mapping twice.
    ScanRepeats,
    /// `link_many` replaces what is there, whatever the condition is.
    BatchesOverwrite,
    /// `link_many` takes an ID twice.
    TakesDuplicates,
    /// A cursor that makes no sense is the end of the listing.
    TakesAnyCursor,
    /// The feed does not report customers.
    FeedWithoutCustomers,
    /// The feed does not say that it was cut off.
    FeedNeverLost,
    /// The feed does not say that a subscriber was too slow.
    FeedNeverLagged,
    /// A call that is dropped keeps its connection.
    LeaksConnections,
    /// A call without an answer has no deadline.
    WaitsForEver,
}

impl Defect {
    /// Each defect, and the one promise that it breaks.
    pub(crate) const ALL: [(&str, Self); 37] = [
        ("P1", Self::AbsentWhenClosed),
        ("P1", Self::AbsentWhenCutOff),
        ("P2", Self::FewIdsPerCustomer),
        ("P3", Self::CreateOnlyOverwrites),
        ("P3", Self::CreateOnlyRaces),
        ("P3", Self::ConflictWithoutRevision),
        ("P3", Self::ForgetsDisplaced),
        ("P3", Self::BatchesOverwrite),
        ("P4", Self::StaleReverseEntry),
        ("P4", Self::UnlinksOnePage),
        ("P4", Self::UnlinksWhatIsTaken),
        ("P4", Self::StopsAtWhatComesBack),
        ("P4", Self::ShowsHalfDoneWrites),
        ("P5", Self::ForgetsUnlinked),
        ("P6", Self::IgnoresCase),
        ("P6", Self::IgnoresTrailingSpaces),
        ("P7", Self::CutsNamespaces),
        ("P8", Self::AnswersDuplicatesOnce),
        ("P8", Self::MixesUpParts),
        ("P9", Self::ShowsExpired),
        ("P9", Self::CutsLifetimes),
        ("P9", Self::PagesWithoutTime),
        ("P9", Self::NeverPurges),
        ("P10", Self::ConflictWrites),
        ("P10", Self::CutsLinks),
        ("P10", Self::CutsImports),
        ("P10", Self::WritesWhenCutOff),
        ("P10", Self::LosesOnRestart),
        ("P11", Self::ScanSkips),
        ("P11", Self::ScanRepeats),
        ("P12", Self::TakesDuplicates),
        ("P12", Self::TakesAnyCursor),
        ("P13", Self::FeedWithoutCustomers),
        ("P13", Self::FeedNeverLost),
        ("P13", Self::FeedNeverLagged),
        ("P14", Self::LeaksConnections),
        ("P14", Self::WaitsForEver),
    ];
}
